"""Scores one object with all models in one pass: each batch is decoded once, predicted, and written in order."""

import errno
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa

from contract.layout import ContainerPaths, output_key
from contract.ledger import Marker
from contract.spec import ModelSpec, PinnedObject
from contract.status import FailureKind
from scoring.columns import ColumnPlan, declared_array, plan_columns
from scoring.errors import ConfigurationError, ModelError, ScoringError, TransientError, one_line
from scoring.features import FeatureBatch
from scoring.ledger import commit
from scoring.models import LoadedModel
from scoring.output import ParquetSink, describe, publish
from scoring.parquet_object import ParquetObject
from scoring.predictions import to_columns
from scoring.protocol import Failure, ObjectDone, WorkerSetup

_Scored = tuple[pa.RecordBatch, list[list[pa.Array] | ScoringError]]


class Engine:
    """All models of a job, loaded, and the places to read from and to write to."""

    def __init__(
        self, setup: WorkerSetup, models: list[LoadedModel], paths: ContainerPaths, log: Callable[[BaseException], None]
    ) -> None:
        self._setup = setup
        self._models = [_Model(spec, model, threading.Lock()) for spec, model in zip(setup.models, models, strict=True)]
        self._paths = paths
        # Of this worker's own: another one may score another object under the same names.
        self._scratch = Path(setup.scratch) / f"worker-{os.getpid()}"
        self._log = log

    def score(self, pinned: PinnedObject, threads: int) -> ObjectDone:
        """Score an object and commit it for every model that could score it; the failures name the others."""
        started = time.monotonic()
        rows = 0
        failures: list[Failure] = []
        runs: list[_Run] = []
        with ExitStack() as stack:
            try:
                source = stack.enter_context(ParquetObject(pinned.key, self._paths.data / pinned.key))
                for model in self._models:
                    try:
                        run = self._open_run(model, pinned, source)
                    except ScoringError as error:
                        failures.append(self._failure(model.spec.model_id, error))
                    else:
                        stack.callback(run.sink.discard)
                        runs.append(run)
                if runs:
                    rows = self._pass(source, runs, threads)
                for run in runs:
                    if run.error is not None:
                        failures.append(self._failure(run.model.spec.model_id, run.error))
                    else:
                        self._commit(run, pinned, source.rows)
            except ScoringError as error:
                failures.append(self._failure("", error))
            except OSError as error:
                failures.append(self._failure("", _not_written(pinned.key, error)))
        return ObjectDone(pinned.key, rows, time.monotonic() - started, tuple(failures))

    def _failure(self, model_id: str, error: ScoringError) -> Failure:
        self._log(error)
        return Failure(model_id, FailureKind(error.kind), error.text)

    def _open_run(self, model: "_Model", pinned: PinnedObject, source: ParquetObject) -> "_Run":
        nulls = source.null_counts([feature.name for feature in model.spec.features])
        plan = plan_columns(pinned.key, model.spec, model.loaded.outputs, source.schema, nulls)
        sink_path = self._scratch / f"{model.spec.model_id}.parquet"
        texts = [field.name for field in model.loaded.outputs if pa.types.is_string(field.type)]
        sink = ParquetSink(sink_path, plan.schema, [*source.text_columns(), *texts])
        with_nulls = frozenset(name for name, count in nulls.items() if count)
        return _Run(model, pinned.key, plan, sink, with_nulls)

    def _pass(self, source: ParquetObject, runs: list["_Run"], threads: int) -> int:
        columns = frozenset().union(*(run.plan.needed for run in runs))
        batches = source.batches(self._setup.batch_rows, columns, use_threads=threads > 1)
        rows = 0
        scored = _predict_in_order(batches, runs, threads if source.rows > self._setup.batch_rows else 1)
        for batch, results in scored:
            rows += batch.num_rows
            for run, result in zip(runs, results, strict=True):
                if isinstance(result, ScoringError):
                    run.error = run.error or result
                elif run.error is None:
                    run.sink.write([*(batch.column(name) for name in run.plan.kept), *result])
            if all(run.error is not None for run in runs):
                break
        return rows

    def _commit(self, run: "_Run", pinned: PinnedObject, rows_in: int) -> None:
        spec = run.model.spec
        run.sink.close()
        key = output_key(self._setup.dataset, spec.model_id, self._setup.execution_id, pinned.key)
        output = describe("predictions", key, run.sink.path)
        publish(run.sink.path, self._paths.predictions / key)
        marker = Marker(
            execution_id=self._setup.execution_id,
            job_id=self._setup.job_id,
            model_id=spec.model_id,
            model_version=spec.version,
            object=pinned,
            # What the object's footer says, not what came through: the marker refuses to differ.
            rows_in=rows_in,
            rows_scored=run.sink.rows,
            rows_quarantined=0,
            outputs=(output,),
            notes=run.model.loaded.notes,
        )
        commit(self._paths.ledger, self._scratch, marker)


class _Model:
    def __init__(self, spec: ModelSpec, loaded: LoadedModel, lock: threading.Lock) -> None:
        self.spec = spec
        self.loaded = loaded
        self._lock = lock

    def predict(self, batch: FeatureBatch) -> Any:
        if self.loaded.concurrent:
            return self.loaded.predict(batch)
        with self._lock:
            return self.loaded.predict(batch)


class _Run:
    """One model over one object."""

    def __init__(
        self, model: _Model, key: str, plan: ColumnPlan, sink: ParquetSink, with_nulls: frozenset[str]
    ) -> None:
        self.model = model
        self.plan = plan
        self.sink = sink
        self.error: ScoringError | None = None
        self._key = key
        self._names = tuple(feature.name for feature in model.spec.features)
        self._with_nulls = with_nulls

    def predict(self, batch: pa.RecordBatch, first_row: int) -> list[pa.Array] | ScoringError:
        spec = self.model.spec
        try:
            arrays = tuple(
                declared_array(self._key, feature, batch.column(feature.name), first_row) for feature in spec.features
            )
            if batch.num_rows == 0:
                return [pa.array([], field.type) for field in self.model.loaded.outputs]
            values = self.model.predict(FeatureBatch(self._names, arrays, self._with_nulls))
            return to_columns(spec, self.model.loaded.outputs, values, batch.num_rows, first_row)
        except ModelError as error:
            return _located(ModelError(f"object {self._key!r}, model {spec.model_id!r}: {error.text}"), error)
        except ScoringError as error:
            return error
        except MemoryError as error:
            text = (
                f"object {self._key!r}, model {spec.model_id!r}: out of memory with batches of {batch.num_rows:,} rows"
            )
            return _located(TransientError(text), error)
        # The model's own code may raise anything, and may even call sys.exit.
        except BaseException as error:
            last = first_row + batch.num_rows - 1
            text = (
                f"object {self._key!r}, model {spec.model_id!r}: its {spec.method} failed on rows {first_row:,} to "
                f"{last:,} ({one_line(error)})"
            )
            return _located(ModelError(text), error)


def _not_written(key: str, error: OSError) -> ScoringError:
    text = f"object {key!r}: its output cannot be written ({one_line(error)})"
    cause: ScoringError = TransientError(text)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        cause = ConfigurationError(f"{text}: raise the job's volume size, or score fewer objects an instance")
    return _located(cause, error)


def _located(error: ScoringError, cause: BaseException) -> ScoringError:
    error.__cause__ = cause
    return error


def _predict_in_order(batches: Iterator[pa.RecordBatch], runs: list[_Run], threads: int) -> Iterator[_Scored]:
    """Each batch with every run's result, in order; several at a time, but never more than the threads keep busy."""

    def predict(batch: pa.RecordBatch, first_row: int) -> _Scored:
        return batch, [run.error or run.predict(batch, first_row) for run in runs]

    first_row = 0
    if threads == 1:
        for batch in batches:
            yield predict(batch, first_row)
            first_row += batch.num_rows
        return
    waiting: deque[Future[_Scored]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="predict")
    try:
        for batch in batches:
            waiting.append(pool.submit(predict, batch, first_row))
            first_row += batch.num_rows
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
