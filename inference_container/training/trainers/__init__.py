"""The trainers (XGBoost, scikit-learn, the user's script) and what they share."""
