"""Tree ensembles: XGBoost, LightGBM and CatBoost models."""
