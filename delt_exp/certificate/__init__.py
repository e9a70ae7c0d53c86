"""Proof that a trainer, any trainer, read its documents in the planned order.

Needs torch, numpy, filelock and rich; `OrderAudit.for_transformers` and `OrderAudit.for_lightning` import what they are
named for.
"""

from delt_exp.certificate.audit import OrderAudit
from delt_exp.certificate.sampler import OrderedSampler

__all__ = ["OrderAudit", "OrderedSampler"]
