"""Where training begins if not at random weights: at another model's.

Owns which of its weights are taken over, and the refusal of a model of another shape. Is handed
plain tensors, and must not know which file or run they come from.
"""

from dataclasses import asdict, dataclass

import torch

from ecgpipe.errors import ConfigError
from ecgpipe.train_ecg.trained_model import Tensors
from ecgpipe.train_ecg.two_towers import TEXT_MAP, ModelShape, TwoTowers

# Fields of a shape that must agree, and the setting to change.
_MUST_AGREE = {
    "encoder": "train.encoder",
    "encoder_pooling": "train.encoder_pooling",
    "encoder_norm": "train.encoder_norm",
    "beat_intervals": "train.beat_intervals",
    "normalisation": "train.normalisation",
    "projection_dim": "train.projection_dim",
    "text_axes": "train.text_axes",
    "rate_hz": "data.rate_hz",
    "samples": "data.rate_hz times data.duration_s",
    "n_leads": "the number of leads",
}
_OF_TEXTS = ("text_projection.", *TEXT_MAP)


def check_same_shape(name: str, source: ModelShape, wanted: ModelShape) -> None:
    """Refuse to begin a model with one of another shape.

    Args:
        name: what to call that one in messages, such as its folder.
        source: its shape.
        wanted: of the model to train.

    Raises:
        ConfigError: naming each difference and the setting to change.
    """
    differences = [
        f"{setting} is {getattr(wanted, field)}, not {getattr(source, field)}"
        for field, setting in _MUST_AGREE.items()
        if getattr(wanted, field) != getattr(source, field)
    ]
    if differences:
        raise ConfigError(
            f"train.init_from: the model in {name} has another shape: here"
            f" {'; '.join(differences)}. Give these settings the model's values, or begin"
            " without train.init_from."
        )


@dataclass(frozen=True)
class StartingPoint:
    """A trained model whose weights another run begins with."""

    name: str
    """What to call it in messages, such as its folder."""

    shape: ModelShape
    weights: Tensors
    """The state of its `TwoTowers`."""

    same_texts: bool
    """Whether the run's text vectors come from the language model, prompt aside, that it was
    trained with. If not, its text side means nothing to the run."""

    def load_into(self, model: TwoTowers) -> None:
        """Copy its weights: of encoder and ECG projection, and of the others what fits.

        The text side only if `takes_texts`; the temperature only if it is learned; the bias of a
        pair's logit only if both have one.
        """
        takes_texts = self.takes_texts(model)
        taken = {
            name: tensor
            for name, tensor in self.weights.items()
            if takes_texts or not name.startswith(_OF_TEXTS)
        }
        if not model.shape.learn_temperature:
            taken.pop("log_scale")
        if not model.shape.pair_bias:
            taken.pop("bias", None)
        missing, unexpected = model.load_state_dict(taken, strict=False)
        assert not unexpected, f"a {asdict(model.shape)} has no {unexpected}"
        may_lack = (*_OF_TEXTS, "log_scale", "bias")
        assert all(name.startswith(may_lack) for name in missing), f"not in the model: {missing}"

    def takes_texts(self, model: TwoTowers) -> bool:
        """Whether the text side can be taken over by a model whose own is fitted: the text vectors
        come from the same language model, and what a text may mean is the same."""
        if not self.same_texts or self.shape.text_meanings != model.shape.text_meanings:
            return False
        if not model.shape.text_meanings:
            return True
        theirs_MK, own_MK = self.weights["meaning_weights_MK"], model.meaning_weights_MK
        return torch.allclose(theirs_MK.to(own_MK), own_MK, rtol=1e-3, atol=1e-3)

    def described(self, model: TwoTowers) -> str:
        """What of it a model takes, and why not more."""
        if self.takes_texts(model):
            return f"the weights of {self.name}"
        if self.same_texts:
            return (
                f"the weights of {self.name}, but a text projection of its own, because training"
                " names other findings"
            )
        return (
            f"the weights of {self.name}, but a text projection of its own, because the text"
            " vectors come from another language model, or another layer or pooling of it"
        )
