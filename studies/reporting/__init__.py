"""How an answer looks: sentences, figures, one self-contained HTML report, and the last lines of a run in the terminal.

Everything here reads a `studies.findings.Answer` and nothing else, and decides nothing: the statistics are `studies.analysis`'s. What is
wanted is imported from its own module, so that words alone do not wait for what draws: `report`, `text`, `terminal`, `figures`.
"""
