"""`nas supernet train`: from images to a supernet's weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nas.cli.options import Data, Flip, Quiet, Resolution


def train(
    out: Annotated[Path, typer.Option(help="Folder; one that holds a run is continued.")],
    data: Data = None,
    resolution: Resolution = None,
    flip: Flip = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = 32,
    batch_size: Annotated[int, typer.Option(help="Images per step.")] = 256,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 0.25,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    seed: Annotated[int, typer.Option(help="Initial weights and batches.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Train a supernet on your images; a killed run goes on from its last epoch.

    Example: `nas supernet train --data myimages --out mynet`
    """
    import torch

    from nas.cli.output import command_line, console, progress
    from nas.cli.supernet_data import read_images, show_images
    from nas.devices.host import cpu_name
    from nas.files import prepare_folder
    from search_spaces import resnet_for
    from supernets import ResNetSupernet, bf16_pays
    from supernets.training import TrainSettings
    from supernets.training import train as run

    if threads:
        torch.set_num_threads(threads)
    log = console(quiet=quiet)
    dataset = read_images(data, log, resolution=resolution, flip=flip)
    show_images(dataset, log)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    settings = TrainSettings(
        epochs=epochs, batch_size=batch_size, lr=lr, seed=seed, bf16=bf16_pays(device)
    )
    prepare_folder(out)
    torch.manual_seed(seed)
    net = ResNetSupernet(resnet_for(dataset.resolution, dataset.channels, dataset.n_classes))
    host = torch.cuda.get_device_name() if device == "cuda" else cpu_name()
    about: dict[str, Any] = {
        "command": command_line(),
        "host": f"{host}, {torch.get_num_threads()} CPU threads",
        "data": dataset.describe(),
    }
    with progress(log) as bar:
        task = bar.add_task("train", total=None, note="")
        for step in run(net, dataset, settings, out, device=device, about=about):
            note = f"epoch {step.epoch + 1}, {step.images_per_s:.0f} images/s, loss {step.loss:.3f}"
            bar.update(task, total=step.n_steps, completed=step.step, note=note)
    log.print(
        f"weights in {out}; next: nas supernet evaluate {out}" + (f" --data {data}" if data else "")
    )
