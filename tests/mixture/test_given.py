"""Shares by hand, as the contract of mixtures needs them; known answers are in test_shares.py."""


def contract_overrides(folder):
    return ["mixture.shares={code: 0.2, news: 0.3, web: 0.5}"]
