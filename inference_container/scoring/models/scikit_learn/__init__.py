"""scikit-learn models, saved by joblib or skops."""
