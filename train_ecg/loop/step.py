"""One step of training: signals and places in, updated weights and metrics out.

Owns autocast, gradients, and the capture as a CUDA graph. Nothing here waits for the device: the
metrics stay on it until they are fetched. B = global batch, b = this process's rows, L = leads,
S = samples, D = joint width, T = texts of a step, W = width of a text vector.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from torch.optim import AdamW

from ecgpipe.config.train import TrainConfig
from ecgpipe.errors import EcgpipeError
from ecgpipe.train_ecg.data.augmentation import Augmentation
from ecgpipe.train_ecg.data.inputs import normalise, to_millivolts
from ecgpipe.train_ecg.loop.arithmetic import choose_arithmetic
from ecgpipe.train_ecg.loop.ranks import Ranks
from ecgpipe.train_ecg.losses.objective import Objective
from ecgpipe.train_ecg.two_towers import TowerOutputs, TwoTowers

METRICS = ("loss", "gradient_norm", "accuracy")

EAGER_STEPS = 3
"""Steps before a capture."""


@dataclass(frozen=True)
class ForwardResult:
    """What a forward pass gives, of this process's rows: two scalars on the device."""

    loss: torch.Tensor
    """Attached to the graph, for the backward pass."""

    accuracy: torch.Tensor


class Step:
    """A training step on this process's rows of a global batch."""

    def __init__(
        self,
        model: TwoTowers,
        device: torch.device,
        ranks: Ranks,
        objective: Objective,
        config: TrainConfig,
    ) -> None:
        self.model = model.to(device)
        # Initial weights computed on different processors may differ in the last bits.
        ranks.broadcast(model.state_dict().values())
        self.objective = objective
        self.arithmetic = choose_arithmetic(config.precision, device, ranks)
        self.optimizer = make_optimizer(model, config, device)
        self.device = device
        self.ranks = ranks
        self.own_rows = ranks.own_rows(config.global_batch_size)
        self.augmentation = Augmentation(
            config.augment,
            config.seed,
            objective.n_records,
            model.shape.n_leads,
            model.shape.samples,
            model.shape.rate_hz,
            device,
        )
        self._max_norm = config.max_gradient_norm or float("inf")
        self._trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if config.compile:
            cast(nn.Module, model.encoder).compile()

    def begin_epoch(self, epoch: int) -> None:
        """Draw each record's text and augmentation for this epoch, counted from 0."""
        self.augmentation.begin_epoch(epoch)
        self.objective.draw(epoch)

    def __call__(self, signal_bLS: torch.Tensor, places_B: torch.Tensor) -> torch.Tensor:
        """Train on one batch.

        Args:
            signal_bLS: int16 as stored, of this process's records, on the device.
            places_B: the records of the global batch, on the device.

        Returns:
            (3,) on the device: the `METRICS` of this process's rows.
        """
        result = self.forward(self.inputs(signal_bLS, places_B), places_B)
        self.backward(result)
        metrics = result.loss.detach(), self.update(), result.accuracy
        return torch.stack([metric.to(result.loss.dtype) for metric in metrics])

    @torch.no_grad()
    def inputs(self, signal_bLS: torch.Tensor, places_B: torch.Tensor) -> torch.Tensor:
        """The encoder's input for a batch: augmented and normalised, float (b, L, S)."""
        signal_mv, known = to_millivolts(signal_bLS, self.model.dtype)
        signal_mv, known = self.augmentation(signal_mv, known, places_B[self.own_rows])
        return normalise(signal_mv, known, self.model.shape.normalisation)

    def forward(self, input_bLS: torch.Tensor, places_B: torch.Tensor) -> ForwardResult:
        """Both towers on this process's rows, then the loss over the global batch."""
        text_TW = self.objective.text_vectors(places_B)
        half = self.arithmetic.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, half, cache_enabled=False):
            own: TowerOutputs = self.model(input_bLS, text_TW)
        compares_all = self.objective.compares_all_ecgs
        ecg_BD = self.ranks.gather(own.ecg_BD) if compares_all else own.ecg_BD
        return ForwardResult(*self.objective(own, ecg_BD, places_B, self.own_rows))

    def backward(self, result: ForwardResult) -> None:
        """Set the gradients of the global batch's loss: the processes' mean."""
        self.optimizer.zero_grad(set_to_none=True)
        result.loss.backward()
        self.ranks.average([p.grad for p in self._trained if p.grad is not None])

    def update(self) -> torch.Tensor:
        """Update the weights; returns the norm of the gradient before clipping."""
        norm = torch.nn.utils.get_total_norm([p.grad for p in self._trained if p.grad is not None])
        if self._max_norm < float("inf"):
            torch.nn.utils.clip_grads_with_norm_(self._trained, self._max_norm, norm)
        self.optimizer.step()
        self.model.clamp_temperature()
        return norm

    def weights_are_finite(self) -> bool:
        """Whether everything a checkpoint would hold is finite. Waits for the device."""
        floats = [t for t in self.model.state_dict().values() if t.is_floating_point()]
        # The greatest magnitude of all: it cannot overflow, and is NaN if any number is.
        return bool(torch.nn.utils.get_total_norm(floats, float("inf")).isfinite())

    def set_learning_rate(self, value: float) -> None:
        """Set the learning rate of the next steps."""
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(value)  # in place, where a captured graph reads it
            else:
                group["lr"] = value


class CapturedStep:
    """A step of one shape, captured as a CUDA graph after the first few and replayed from then on.

    At batch 32, launching the kernels takes longer than running them. Every tensor that a replay
    reads or writes must stay where it was at capture, so inputs are copied into place. The first
    steps run eagerly on a side stream, as a capture requires.

    Source: the section on CUDA graphs in PyTorch's CUDA semantics.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._calls = 0
        self._stream: Any = None
        self._graph: Any = None
        self._inputs: tuple[torch.Tensor, torch.Tensor] | None = None
        self._metrics: torch.Tensor | None = None

    def __call__(self, signal_bLS: torch.Tensor, places_B: torch.Tensor) -> torch.Tensor:
        """As `Step`, with the same shapes at every call.

        Raises:
            EcgpipeError: the step cannot be captured on this GPU.
        """
        self._calls += 1
        if self._calls <= EAGER_STEPS:
            return self._run_eagerly(signal_bLS, places_B)
        if self._graph is None:
            self._capture(signal_bLS, places_B)
        assert self._inputs is not None
        assert self._metrics is not None
        self._inputs[0].copy_(signal_bLS)
        self._inputs[1].copy_(places_B)
        self._graph.replay()
        return self._metrics.clone()

    def _run_eagerly(self, signal_bLS: torch.Tensor, places_B: torch.Tensor) -> torch.Tensor:
        if self._stream is None:  # kept, since the allocator keeps memory for each stream apart
            self._stream = torch.cuda.Stream()
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            metrics = self._step(signal_bLS, places_B)
        torch.cuda.current_stream().wait_stream(self._stream)
        return metrics

    def _capture(self, signal_bLS: torch.Tensor, places_B: torch.Tensor) -> None:
        inputs = signal_bLS.clone(), places_B.clone()
        # Gradients must be allocated inside the graph, so that each replay overwrites them.
        self._step.optimizer.zero_grad(set_to_none=True)
        graph, before = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            # thread_local: the thread that loads the next batch pins and allocates memory
            # meanwhile, which would invalidate a capture in the default mode.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                metrics = self._step(*inputs)
        except RuntimeError as error:
            cause = _first_cause(error)
            if isinstance(cause, torch.cuda.OutOfMemoryError):
                raise cause from None
            raise EcgpipeError(
                f"The training step cannot be captured as a CUDA graph: {cause}. Set"
                " train.cuda_graph=false and run the same command again."
            ) from error
        finally:
            # torch leaves the stream of a capture current if the capture's end fails.
            torch.cuda.set_stream(before)
        # Only now: whoever goes on after a failure must not replay half a step.
        self._inputs, self._metrics, self._graph = inputs, metrics, graph


def step_for(step: Step, config: TrainConfig) -> Callable[..., Any]:
    """The step, captured if train.cuda_graph asks for it and this device allows it."""
    one_gpu = step.device.type == "cuda" and step.ranks.world == 1
    if one_gpu and config.cuda_graph and not config.compile:
        return CapturedStep(step)
    return step


def missed_capture(config: TrainConfig, device: torch.device, world: int) -> str:
    """What the log adds if a CUDA graph is asked for and several GPUs train; else nothing."""
    if device.type != "cuda" or world == 1 or not config.cuda_graph or config.compile:
        return ""
    return (
        f"; steps are not captured as a CUDA graph, since {world} processes train together: with a"
        " small train.global_batch_size one GPU may be faster"
    )


def _first_cause(error: BaseException) -> BaseException:
    """What ended a capture: its end then fails too, with an error that says less."""
    while isinstance(error.__context__, RuntimeError):
        error = error.__context__
    return error


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
        # torch warns of every capturable step that is not captured; for a fused one it is moot.
        warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")
    return AdamW(groups, lr=rate, fused=True, capturable=on_gpu)


def optimizer_tensors(optimizer: AdamW) -> dict[str, torch.Tensor]:
    """The optimiser's moments and step counts as named tensors."""
    state = optimizer.state_dict()["state"]
    return {
        f"{number}/{name}": value for number, kept in state.items() for name, value in kept.items()
    }


def restore_optimizer(optimizer: AdamW, tensors: Mapping[str, torch.Tensor]) -> None:
    """Restore what `optimizer_tensors` returned.

    Raises:
        ValueError: the shapes are another optimiser's; a fused step would read out of bounds.
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
            if name != "step":  # a fused step wants the weight's own strides
                kept[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
