"""`nas supernet`: train, evaluate, list, describe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

supernet = typer.Typer(
    help="Train and evaluate weight-sharing networks.", no_args_is_help=True, add_completion=False
)
Data = Annotated[Path | None, typer.Option(help="CIFAR-10 binary folder; digits without it.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]


@supernet.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder; one that holds a run is continued.")],
    data: Data = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = 32,
    batch_size: Annotated[int, typer.Option(help="Images per step.")] = 256,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 0.25,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    seed: Annotated[int, typer.Option(help="Initial weights and batches.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Train a supernet; a killed run goes on from its last epoch.

    Example: `nas supernet train --data cifar-10-batches-bin --out mynet`
    """
    import torch

    from nas.cli.output import command_line, console, progress
    from nas.devices.host import cpu_name
    from nas.files import prepare_folder
    from search_spaces import resnet_cifar, resnet_digits
    from supernets import ResNetSupernet, bf16_pays, load_dataset
    from supernets.training import TrainSettings
    from supernets.training import train as run

    if threads:
        torch.set_num_threads(threads)
    dataset = load_dataset(data)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    settings = TrainSettings(
        epochs=epochs, batch_size=batch_size, lr=lr, seed=seed, bf16=bf16_pays(device)
    )
    prepare_folder(out)
    torch.manual_seed(seed)
    space = resnet_digits() if dataset.name == "digits" else resnet_cifar()
    net = ResNetSupernet(space)
    host = torch.cuda.get_device_name() if device == "cuda" else cpu_name()
    about = {"command": command_line(), "host": f"{host}, {torch.get_num_threads()} CPU threads"}
    with progress(console(quiet=quiet)) as bar:
        task = bar.add_task("train", total=None, note="")
        for step in run(net, dataset, settings, out, device=device, about=about):
            note = f"epoch {step.epoch + 1}, {step.images_per_s:.0f} images/s, loss {step.loss:.3f}"
            bar.update(task, total=step.n_steps, completed=step.step, note=note)
    console(quiet=quiet).print(
        f"weights in {out}; next: nas supernet evaluate {out}" + (f" --data {data}" if data else "")
    )


@supernet.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(help="Folder of `nas supernet train`.")],
    data: Data = None,
    samples: Annotated[int, typer.Option(help="Subnets to evaluate.")] = 600,
    seed: Annotated[int, typer.Option(help="Which subnets.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Evaluate subnets over all exit policies, fit the accuracy predictor, write the card.

    Example: `nas supernet evaluate mynet --data cifar-10-batches-bin`
    """
    from nas.cli.output import command_line, console, progress
    from nas.zoo import evaluate_folder
    from search_spaces import InputError

    if samples < 20:
        raise InputError(f"--samples must be at least 20 to learn from, got {samples}")
    run = evaluate_folder(folder, data, n_subnets=samples, seed=seed, command=command_line())
    with progress(console(quiet=quiet)) as bar:
        task = bar.add_task("evaluate", total=samples, note="")
        for done, total in run:
            bar.update(task, completed=done, total=total)
    console(quiet=quiet).print(f"accuracy table, predictor and card in {folder}")


@supernet.command("list")
def list_() -> None:
    """List the supernets that ship with the project."""
    from nas.zoo import zoo_names

    print("\n".join(zoo_names()))


@supernet.command()
def info(
    name: Annotated[str, typer.Argument(help="Name from the zoo, or a folder.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="The checkpoint's metadata.")] = False,
) -> None:
    """Show the card of a supernet. Example: `nas supernet info resnet-cifar10`."""
    from rich.console import Console
    from rich.markdown import Markdown

    from nas.cli.output import print_json
    from nas.zoo import supernet_folder

    folder = supernet_folder(name)
    card = folder / "card.md"
    if json or not card.exists():
        from supernets import load_supernet

        print_json(load_supernet(folder / "weights.safetensors")[1])
        return
    Console().print(Markdown(card.read_text()))
