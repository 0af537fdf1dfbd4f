"""A torch network as a list of operations: traced, run once, every call looked up by its rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from supernets.guest import in_eval
from supernets.traced.calls import Call, NotUnderstood, Value, Weight
from supernets.traced.rules.tables import FUNCTIONS, METHODS, MODULES, apply
from supernets.traced.tracer import Tracer, has_tensor

N_IMAGES = 3  # of the run that finds shapes; a size that is no width, side or group of theirs


def capture(net: nn.Module, in_channels: int, resolution: int) -> list[Call]:
    """The operations of `net` in eval mode, for square images of `resolution` pixels.

    The first one is the image. NotUnderstood says which module cannot be traced or has an
    operation without a rule. `net` itself stays as it is.
    """
    with in_eval(net):
        _check_weights(net)
        images = torch.linspace(-3, 3, N_IMAGES * in_channels * resolution**2)
        images = images.view(N_IMAGES, in_channels, resolution, resolution)
        run = _Lowering(_traced(net, images), net)
        with torch.no_grad():
            run.follow(images.clone())
            _check_input(net, images)
        return run.calls()


def _check_weights(net: nn.Module) -> None:
    if isinstance(net, torch.jit.ScriptModule):
        raise NotUnderstood("a network compiled by torch.jit has no code; give the one before it")
    if next(net.parameters(), None) is None:
        raise NotUnderstood(f"{type(net).__name__} has no parameters: there is nothing to share")
    names: dict[int, str] = {}
    for name, parameter in _parameters(net):
        if parameter.dtype != torch.float32 or parameter.device.type != "cpu":
            raise NotUnderstood(
                f"{name} is {parameter.dtype} on {parameter.device}: weights in float32 on the "
                "processor are wanted, as of `net.float().cpu()`"
            )
        if (first := names.setdefault(id(parameter), name)) != name:
            raise NotUnderstood(
                f"{name} is {first}: weights that two modules share cannot have two widths"
            )


def _parameters(net: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """All with their names; of a module that has two names, as in two lists, the first."""
    for path, module in net.named_modules():
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            yield f"{path}.{name}".lstrip("."), parameter


def _check_input(net: nn.Module, images: Tensor) -> None:
    given = images.clone()
    net(given)
    if not torch.equal(given, images):
        raise NotUnderstood(
            f"{type(net).__name__}: the network changes its input; let it work on a copy"
        )


def _traced(net: nn.Module, images: Tensor) -> fx.GraphModule:
    tracer = Tracer(images)
    try:
        graph = tracer.trace(net)
    except Exception as error:  # whatever the user's code raises when it meets a symbol
        place = tracer.path or type(net).__name__
        raise NotUnderstood(
            f"{place} ({_type_of(net, tracer.path)}) cannot be traced: {_reason(error)}"
        ) from None
    return fx.GraphModule(net, graph)


def _type_of(net: nn.Module, path: str) -> str:
    return type(net.get_submodule(path)).__name__


class _Lowering(fx.Interpreter):  # type: ignore[misc]
    """Runs a traced network and writes an operation down for every call."""

    def __init__(self, graph: fx.GraphModule, net: nn.Module) -> None:
        super().__init__(graph)
        self.net = net
        self.found: list[Call] = []
        self.known: dict[fx.Node, Any] = {}
        self.last = ""
        self.used: set[str] = set()
        self.answer: Any = None

    def follow(self, images: Tensor) -> None:
        """Run every node; `run` would add lines to the message of an error."""
        self.args_iter = iter([images])
        for node in self.graph.nodes:
            self.env[node] = self.run_node(node)

    def run_node(self, n: fx.Node) -> Any:
        self.last = self.name_of(n)
        if n.op == "placeholder" and self.found and not n.args:
            raise NotUnderstood(f"{n.name}: a network of one input is wanted, this takes more")
        try:
            real = super().run_node(n)
        except Exception as error:
            raise NotUnderstood(
                f"{self.last} does not run on these images: {_reason(error)}"
            ) from None
        self.known[n] = self._lowered(n, real)
        return real

    def _lowered(self, n: fx.Node, real: Any) -> Any:
        """The number of the operation that makes a value; what is no tensor stays as it is."""
        if n.op == "placeholder":
            if self.found:
                return real  # an optional argument, at its default
            return self.add(n.name, "image", (), real)
        if n.op == "get_attr":
            return Weight(str(n.target), real) if isinstance(real, Tensor) else real
        args, kwargs = self._arguments(n.args), self._arguments(n.kwargs)
        if n.op == "output":
            self.answer = args[0]
            return None
        if not _mentions([args, kwargs]):
            return self._constant(n, real)
        if n.op == "call_module":
            module = self.net.get_submodule(str(n.target))
            self._use(str(n.target), module)
            rule: Any = MODULES.get(type(module))
            if rule is None:
                raise NotUnderstood(
                    f"{n.target}: no rule for a module of type {type(module).__name__}"
                )
            return apply(rule, self, self.last, (module, real), args, kwargs)
        table: Mapping[Any, Any] = METHODS if n.op == "call_method" else FUNCTIONS
        rule = table.get(n.target)
        if not isinstance(real, Tensor) and rule is None and not has_tensor(real):
            return real  # a size
        if rule is None:
            raise NotUnderstood(f"{self.last}: no rule for the operation {_told(n.target)}")
        return apply(rule, self, self.last, (real,), args, kwargs)

    def _constant(self, n: fx.Node, real: Any) -> Any:
        """A call on weights and numbers alone: its result is a weight, as the network has it now.

        So is a standardised filter: it stays what it is, and goes on as a filter of its own.
        """
        if not isinstance(real, Tensor):
            return real
        weights = [a for a in (*n.args, *n.kwargs.values()) if isinstance(a, fx.Node)]
        known = [self.known[w] for w in weights if isinstance(self.known.get(w), Weight)]
        if len(known) == 1 and torch.equal(real.flatten(), known[0].tensor.flatten()):
            return Weight(known[0].name, real)  # in another shape
        return Weight(f"{self.last.rpartition('.')[0] or self.last}.weight", real)

    def _arguments(self, given: Any) -> Any:
        return fx.node.map_arg(given, lambda n: self.known[n])

    def _use(self, name: str, module: nn.Module) -> None:
        """InputError: a module with weights runs twice."""
        if next(module.parameters(), None) is not None or next(module.buffers(), None) is not None:
            self.use(name)

    def use(self, name: str) -> None:
        if name in self.used:
            raise NotUnderstood(f"{name} runs twice: its weights would need two widths")
        self.used.add(name)

    def name_of(self, n: fx.Node) -> str:
        """The module's qualified name, with the function's where it is one."""
        if n.op == "call_module":
            return str(n.target)
        stack = n.meta.get("nn_module_stack") or {}
        inside = list(stack.values())[-1][0] if stack else ""
        return f"{inside}.{n.name}" if inside else n.name

    # ---- for the rules -------------------------------------------------------------------------

    def add(
        self,
        name: str,
        kind: str,
        inputs: tuple[Value, ...],
        real: Tensor,
        weights: Mapping[str, Tensor | None] | None = None,
        **options: Any,
    ) -> Value:
        """Write an operation down; NotUnderstood where it mixes the images of a batch."""
        if real.ndim == 0 or len(real) != N_IMAGES:
            raise NotUnderstood(f"{name}: {kind} does not keep the images of a batch apart")
        given = {k: v for k, v in (weights or {}).items() if v is not None}
        numbers = tuple(v.number for v in inputs)
        self.found.append(Call(name, kind, numbers, tuple(real.shape[1:]), options, given))
        return Value(len(self.found) - 1)

    def shape(self, value: Value) -> tuple[int, ...]:
        """Of a value, without the batch."""
        return self.found[value.number].shape

    def _described(self, output: Any) -> str:
        if not isinstance(output, Value):
            return f"a {type(output).__name__}"
        call = self.found[output.number]
        return f"what {call.name} makes, ({', '.join(['N', *map(str, call.shape)])})"

    def calls(self) -> list[Call]:
        """The operations that the output needs, which comes last."""
        output = self.answer
        if type(output) in (list, tuple) and len(output) == 1:
            output = output[0]
        if not isinstance(output, Value) or len(self.found[output.number].shape) != 1:
            raise NotUnderstood(
                "the network must return one tensor of logits (N, classes), it returns "
                + self._described(output)
            )
        needed = {0, output.number}
        for i in range(output.number, -1, -1):
            if i in needed:
                needed.update(self.found[i].inputs)
        place = {old: new for new, old in enumerate(sorted(needed))}
        kept = [self.found[old] for old in sorted(needed)]
        for call in kept:
            call.inputs = tuple(place[i] for i in call.inputs)
        return kept


def _mentions(given: Any) -> bool:
    """Whether a value that depends on the image is among arguments."""
    if isinstance(given, Value | Weight):
        return isinstance(given, Value)
    if isinstance(given, slice):
        return False
    if isinstance(given, Mapping):
        return any(map(_mentions, given.values()))
    return isinstance(given, list | tuple) and any(map(_mentions, given))


def _reason(error: Exception) -> str:
    return " ".join(str(error).partition("\n\n")[0].split())[:160]


def _told(target: Any) -> str:
    return target if isinstance(target, str) else getattr(target, "__name__", str(target))
