"""Deployment of image variants, and data without nulls for networks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from contract.catalog.image_variants import ImageVariant
from embedded.cdk.deploy import deploy
from embedded.cdk.synth import synthesize
from embedded.server.embedded_aws import EmbeddedAws
from tests.e2e.stage import people
from tests.frameworks.documented_script import LABEL

HEAVY: tuple[ImageVariant, ...] = ("pytorch", "tensorflow")
ROWS = 500
_APP = Path(__file__).parents[3] / "app.py"


def deploy_variants(aws: EmbeddedAws, folder: Path, variants: Sequence[ImageVariant]) -> None:
    deploy(synthesize(_APP, folder, {"fleetscore.image_variants": list(variants)}), aws.endpoint, aws.images)


def prepared(rows: int, seed: int) -> pa.Table:
    """Return people without nulls, which networks do not accept."""
    table = people(rows, seed)
    return table.set_column(table.column_names.index("spend"), "spend", table["spend"].fill_null(0.0))


def labelled(rows: int, seed: int) -> pa.Table:
    """Return prepared people with a label that depends mostly on their visits."""
    table = prepared(rows, seed)
    late = np.asarray(table["visits"]) + np.random.default_rng(seed).normal(0, 4, rows) > 15
    return table.append_column(LABEL, pa.array(late.astype(np.int64)))
