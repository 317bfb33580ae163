"""One step of training: signals and places in, weights changed, figures out.

Owns precision, the way of gradients, and the capture as a CUDA graph. Nothing here waits for the
device: the figures stay there until somebody asks. B = global batch, b = this process's rows, L =
leads, S = samples, D = joint width, T = texts of a step.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import AdamW

from ecgpipe.config.train import TrainConfig
from ecgpipe.train_ecg.data.augmentation import augment
from ecgpipe.train_ecg.data.inputs import normalise, to_millivolts
from ecgpipe.train_ecg.loop.batch_parts import BatchParts, tree_sum
from ecgpipe.train_ecg.losses.objective import Objective
from ecgpipe.train_ecg.two_towers import TowerOutputs, TwoTowers

FIGURES = ("loss", "gradient_norm", "accuracy")

EAGER_STEPS = 3
"""Before a capture."""


@dataclass(frozen=True)
class Passed:
    """What a forward pass leaves for the backward pass, of each of this process's parts."""

    outputs: list[TowerOutputs]
    gradients: list[TowerOutputs]
    """Of the batch's loss, with respect to the outputs."""

    loss: torch.Tensor
    accuracy: torch.Tensor


class Step:
    """A training step that runs its parts one after the other."""

    def __init__(
        self,
        model: TwoTowers,
        device: torch.device,
        parts: BatchParts,
        objective: Objective,
        config: TrainConfig,
    ) -> None:
        self.model = model.to(device)
        parts.begin_alike(model.state_dict().values())
        self.objective = objective
        self.precision = _precision(config.precision, device)
        self.optimizer = make_optimizer(model, config, device)
        self.device = device
        self.parts = parts
        self._config = config
        # On the device, since a captured graph would keep a number for ever.
        self._epoch = torch.zeros((), dtype=torch.int64, device=device)
        self._max_norm = config.max_gradient_norm or float("inf")
        self._trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
        if config.compile:
            cast(nn.Module, model.encoder).compile()

    def begin_epoch(self, epoch: int) -> None:
        """Draw what is said of each record in this epoch, counted from 0, and how it is varied."""
        self._epoch.fill_(epoch)
        self.objective.draw(epoch)

    def __call__(self, signal_bLS: torch.Tensor, places_B: torch.Tensor) -> torch.Tensor:
        """Train on one batch.

        Args:
            signal_bLS: int16 as stored, of this process's records, on the device.
            places_B: the records of the global batch, on the device.

        Returns:
            (3,) on the device: the `FIGURES`, of this process's parts.
        """
        passed = self.forward(self.inputs(signal_bLS, places_B), places_B)
        self.backward(passed)
        figures = passed.loss, self.update(), passed.accuracy
        return torch.stack([figure.to(passed.loss.dtype) for figure in figures])

    @torch.no_grad()
    def inputs(self, signal_bLS: torch.Tensor, places_B: torch.Tensor) -> torch.Tensor:
        """What the encoder sees of a batch."""
        signal_mv, known = to_millivolts(signal_bLS)
        signal_mv, known = augment(
            signal_mv,
            known,
            places_B[self.parts.own_rows],
            self._config.seed,
            self._epoch,
            self.model.shape.rate_hz,
            self._config.augment,
        )
        return normalise(signal_mv, known, self.model.shape.normalisation)

    def forward(self, input_bLS: torch.Tensor, places_B: torch.Tensor) -> Passed:
        """Both towers, part by part, then the loss and what it asks of them."""
        text_TW = self.objective.text_vectors(places_B)
        parts = input_bLS.chunk(len(self.parts.own))
        outputs = [self._towers(parts[0], text_TW)]
        # What batch norm remembers for scoring is of the first part alone, as it is of the first of
        # several processes.
        with _no_running_statistics(self._norms if len(parts) > 1 else []):
            outputs += [self._towers(part, text_TW) for part in parts[1:]]
        return self._judged(outputs, places_B)

    def _towers(self, input_bLS: torch.Tensor, text_TW: torch.Tensor) -> TowerOutputs:
        # No weight is used twice, and the cache of cast ones is one for all threads.
        with torch.autocast(
            self.device.type, torch.bfloat16, self.precision == "bfloat16", cache_enabled=False
        ):
            outputs: TowerOutputs = self.model(input_bLS, text_TW)
        return outputs

    def _judged(self, outputs: list[TowerOutputs], places_B: torch.Tensor) -> Passed:
        """The loss, and its gradients with respect to the outputs.

        The ECGs of all parts stand in the loss of each, so what all losses together ask of an ECG
        is summed, and added to what its own row asks.
        """
        all_BD = None
        if self.objective.compares_all_ecgs:
            all_BD = self.parts.gather(torch.cat([own.ecg_BD.detach() for own in outputs]))
        figures, gradients, asked_of_all = [], [], []
        for part, output in zip(self.parts.own, outputs, strict=True):
            own = TowerOutputs(*(tensor.detach().requires_grad_() for tensor in output))
            ecg_BD = (own.ecg_BD if all_BD is None else all_BD).detach().requires_grad_()
            loss, accuracy = self.objective(own, ecg_BD, places_B, part)
            *asked, of_all = torch.autograd.grad(loss, [*own, ecg_BD], materialize_grads=True)
            gradients.append(TowerOutputs(*asked))
            asked_of_all.append(of_all)
            figures.append((loss.detach(), accuracy))
        if all_BD is not None:
            total_BD = self.parts.sum(asked_of_all)
            gradients = [
                asked._replace(ecg_BD=asked.ecg_BD + total_BD[part])
                for part, asked in zip(self.parts.own, gradients, strict=True)
            ]
        loss, accuracy = (tree_sum(each) / len(each) for each in zip(*figures, strict=True))
        return Passed(outputs, gradients, loss, accuracy)

    def backward(self, passed: Passed) -> None:
        """Set the gradients: their mean over all parts."""
        of_parts = []
        for output, asked in zip(passed.outputs, passed.gradients, strict=True):
            self.optimizer.zero_grad(set_to_none=True)
            trained = [n for n, tensor in enumerate(output) if tensor.requires_grad]
            torch.autograd.backward([output[n] for n in trained], [asked[n] for n in trained])
            of_parts.append([p.grad for p in self._trained if p.grad is not None])
        for parameter, gradient in zip(self._trained, self.parts.mean_each(of_parts), strict=True):
            parameter.grad = gradient

    def update(self) -> torch.Tensor:
        """Change the weights; returns the length of the gradient before it was shortened."""
        norm = torch.nn.utils.get_total_norm([p.grad for p in self._trained if p.grad is not None])
        if self._max_norm < float("inf"):
            torch.nn.utils.clip_grads_with_norm_(self._trained, self._max_norm, norm)
        self.optimizer.step()
        self.model.clamp_temperature()
        return norm

    def weights_are_finite(self) -> bool:
        """Whether nothing that would be saved is infinite or not a number. Waits for the device."""
        floats = [t for t in self.model.state_dict().values() if t.is_floating_point()]
        return bool(torch.stack([tensor.isfinite().all() for tensor in floats]).all())

    def set_learning_rate(self, value: float) -> None:
        """The learning rate of the steps to come."""
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(value)  # in place: a captured graph reads it there
            else:
                group["lr"] = value


class CapturedStep:
    """A step of one shape, captured as a CUDA graph after the first few and replayed from then on.

    At batch 32 launching the kernels takes longer than running them. All tensors a replay reads or
    writes must stay where they were at capture, so inputs are copied into place. The first steps
    run as they are, in a stream of their own, as the capture asks for; a run beside others has one
    already, and is captured in it.

    Source: the section on CUDA graphs in PyTorch's CUDA semantics.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._calls = 0
        self._stream: Any = None
        self._graph: Any = None
        self._inputs: tuple[torch.Tensor, torch.Tensor] | None = None
        self._figures: torch.Tensor | None = None

    def __call__(self, signal_bLS: torch.Tensor, places_B: torch.Tensor) -> torch.Tensor:
        """As `Step`, whose shape must be the same at every call."""
        self._calls += 1
        if self._graph is None:
            if self._calls <= EAGER_STEPS:
                return self._beside(signal_bLS, places_B)
            self._capture(signal_bLS, places_B)
        assert self._inputs is not None
        assert self._figures is not None
        self._inputs[0].copy_(signal_bLS)
        self._inputs[1].copy_(places_B)
        self._graph.replay()
        return self._figures.clone()

    def _beside(self, signal_bLS: torch.Tensor, places_B: torch.Tensor) -> torch.Tensor:
        if self._stream is None:  # one for all: the allocator keeps memory of each stream apart
            self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch has no types here
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            figures = self._step(signal_bLS, places_B)
        torch.cuda.current_stream().wait_stream(self._stream)
        return figures

    def _capture(self, signal_bLS: torch.Tensor, places_B: torch.Tensor) -> None:
        self._inputs = signal_bLS.clone(), places_B.clone()
        # Gradients must be born inside the graph, so that each replay writes and does not add.
        self._step.optimizer.zero_grad(set_to_none=True)
        self._graph = torch.cuda.CUDAGraph()
        # The thread that is a batch ahead goes on meanwhile, and pins and allocates memory: in the
        # default mode that would break the capture off.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._figures = self._step(*self._inputs)


def step_for(step: Step, config: TrainConfig) -> Callable[..., Any]:
    """The step itself, or captured where that is possible and asked for."""
    alone_on_gpu = step.device.type == "cuda" and step.parts.world == 1
    if alone_on_gpu and config.cuda_graph and not config.compile:
        return CapturedStep(step)
    return step


def make_optimizer(model: TwoTowers, config: TrainConfig, device: torch.device) -> AdamW:
    """AdamW; weight decay on matrices and kernels, not on norms, biases and the temperature."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    on_gpu = device.type == "cuda"
    # In a CUDA graph the learning rate and the step count must be on the device.
    rate = torch.tensor(config.lr, device=device) if on_gpu else config.lr
    if on_gpu:
        # It makes no difference to a fused step, but torch warns of each that is not captured.
        warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")
    return AdamW(groups, lr=rate, fused=True, capturable=on_gpu)


def optimizer_tensors(optimizer: AdamW) -> dict[str, torch.Tensor]:
    """The optimiser's moments and step counts as named tensors."""
    state = optimizer.state_dict()["state"]
    return {
        f"{number}/{name}": value for number, kept in state.items() for name, value in kept.items()
    }


def restore_optimizer(optimizer: AdamW, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put back what `optimizer_tensors` gave.

    Raises:
        ValueError: it is of another optimiser; a fused step would read beyond its memory.
    """
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition("/")
        state.setdefault(int(number), {})[name] = value
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for place, kept in state.items():
        for name, value in kept.items():
            weight = weights[place]
            if value.shape != (torch.Size() if name == "step" else weight.shape):
                raise ValueError(f"{name} of weight {place} has the shape {tuple(value.shape)}")
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _precision(setting: str, device: torch.device) -> str:
    if setting != "auto":
        return setting
    # Older GPUs than Ampere emulate it, which is slower than float32.
    able = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if able else "float32"


@contextmanager
def _no_running_statistics(norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Batch norm goes by the batch, as ever in training, but does not remember it."""
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
