"""LESS."""


def contract_overrides(folder):
    return ["scorer.warm_up.share=1.0", "scorer.warm_up.batch_items=4", "scorer.warm_up.context_tokens=32"]
