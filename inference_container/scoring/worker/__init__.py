"""A worker process, which scores the objects that the supervisor assigns to it.

From the outer layer to the inner: `task_runner` runs tasks concurrently, `engine` runs one task,
`object_scoring` makes the passes over one object, `batch_pipeline` predicts its batches in order,
`object_predictor` predicts one batch with one model, `model_output` writes and commits the result.
"""
