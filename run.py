"""Score, select, order, train and evaluate: `python run.py --help`."""

import atexit
import gc

if __name__ == "__main__":
    # Loading makes no garbage, and Python would look for some among all objects, again as it ends: a fifth of the time
    # of a run that finds everything. `main` turns the collector on where the work begins.
    gc.disable()
    atexit.register(gc.freeze)

    from delt_exp.cli.main import main

    main()
