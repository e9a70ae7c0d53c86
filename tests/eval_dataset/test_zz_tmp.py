import random, traceback
import pytest
def test_x(tmp_path):
    from tests.eval_dataset.test_multiple_choice import evaluate, choice_task, make_subject
    from delt_exp.store import Store
    s=make_subject(tmp_path,128)
    store=Store(tmp_path/"s",verify="hash")
    import random as r
    orig=r.Random.random
    for n in ("random","getrandbits","seed","uniform"):
        f=getattr(r._inst,n)
        def g(*a,_f=f,_n=n,**k):
            print("DRAW",_n); traceback.print_stack(limit=8); return _f(*a,**k)
        setattr(r,n,g)
    evaluate(s,store,quiz=choice_task(tmp_path))
    st=r.getstate()
