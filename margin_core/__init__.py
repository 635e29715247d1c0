"""The science: loss families, regularisers, models, data, metrics, and the training of one trial.

It knows neither Ray nor Optuna nor MLflow; what may vary in a study is `search_spaces`, and how it is run and read is `studies`.
"""
