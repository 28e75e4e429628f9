"""The forms in which schemas are found elsewhere, each read into a contract and written from one.

Nothing is lost silently: every function answers with what it made and with a :class:`~gluewright_core.schema.losses.Loss`
for each thing that the form cannot say. Writing a contract and reading the result gives the same contract, but for those.
"""
