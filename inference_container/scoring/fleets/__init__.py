"""A fleet in a worker: one model that predicts each row with the member that the row's route names."""
