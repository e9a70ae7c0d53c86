from delt_exp.config.fields import settings
@settings
class MixtureReport:
    objective: dict
    proposed: str
    num_bootstraps: int
    alpha: float
    seed: int
    def findings(self, study):
        raise SystemExit
