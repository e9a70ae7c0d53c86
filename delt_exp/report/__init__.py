"""Pictures and pages made from the record of a run."""
