"""`nas predictor`: train, transfer, evaluate and use cost predictors."""

from __future__ import annotations

import typer

from nas.cli.help import Group
from nas.cli.predictor_evaluate import evaluate
from nas.cli.predictor_predict import predict
from nas.cli.predictor_train import train
from nas.cli.predictor_transfer import transfer
from nas.cli.slow import SlowCommand

predictor = typer.Typer(
    help="Train and transfer cost predictors.",
    cls=Group,
    no_args_is_help=True,
    add_completion=False,
)
for command in (train, evaluate, predict, transfer):
    predictor.command(cls=SlowCommand)(command)
