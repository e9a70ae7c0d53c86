from delt_exp.cli.store import main

if __name__ == "__main__":
    main()
