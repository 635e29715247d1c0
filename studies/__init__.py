"""How a study is run, recorded and read: the study file, the plan, Ray Tune, the ledger, the verdicts, the report, the command.

The only package that knows Ray, MLflow and the terminal; the science is in `margin_core`, what may vary in `search_spaces`.
"""
