"""The container recipes, checked as text because no container engine runs here.

The images' self-test is run outside of a container.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "containers/Dockerfile").read_text()
DEFINITION = (ROOT / "containers/ecgpipe.def").read_text()
IGNORE = (ROOT / "containers/Dockerfile.dockerignore").read_text()
RECIPES = pytest.mark.parametrize("recipe", [DOCKERFILE, DEFINITION], ids=["docker", "apptainer"])


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, with continued lines joined."""
    lines = [line for line in DOCKERFILE.splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(w[0], w[1]) for line in joined if len(w := line.split(None, 1)) == 2]


def docker_copies() -> dict[str, str]:
    copies = {}
    for word, rest in instructions():
        if word == "COPY":
            *sources, target = rest.split()
            for source in sources:
                copies[source] = target + Path(source).name if target.endswith("/") else target
    return copies


def sections() -> dict[str, str]:
    """The sections of the definition file by name."""
    parts = re.split(r"^%(\w+)\n", DEFINITION, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def apptainer_copies() -> dict[str, str]:
    pairs = (line.split() for line in sections()["files"].splitlines() if line.strip())
    return {source: target for source, target in pairs}


def test_both_copy_the_same_files_and_each_is_tracked() -> None:
    assert docker_copies() == apptainer_copies()
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for source in docker_copies():
        assert any(name == source or name.startswith(f"{source}/") for name in listed), source


def test_everything_the_package_is_built_from_is_copied() -> None:
    copied = set(docker_copies())
    links = {
        path.name: path.readlink() for path in (ROOT / "ecgpipe").iterdir() if path.is_symlink()
    }
    assert {link.name for link in links.values()} <= copied
    assert {"ecgpipe", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"} <= copied
    # The links inside ecgpipe/ are relative, so the folders must keep their relative places.
    assert all(target == f"/opt/ecgpipe/{s}" for s, target in docker_copies().items()
               if not s.startswith("containers/"))  # fmt: skip


def test_only_the_copied_files_are_sent_to_the_builder() -> None:
    lines = [line for line in IGNORE.splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == set(docker_copies())


@RECIPES
def test_every_package_is_installed_under_the_tested_pins(recipe: str) -> None:
    commands = re.findall(r"pip install(?:\\\n|[^&\n])*", recipe)
    assert len(commands) == 2
    assert all("-c /opt/ecgpipe/constraints.txt" in command for command in commands)
    assert all("--no-cache-dir" in command for command in commands)
    assert commands[0].rstrip("\\ \n").split()[-1] == "torch"  # first: see constraints.txt
    assert not re.search(r"[\w\]]\s*(==|>=|~=)\s*\d", recipe)
    assert re.search(r"^torch==[\d.]+$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)


@RECIPES
def test_the_base_image_is_pinned_to_the_tested_python(recipe: str) -> None:
    [base] = re.findall(r"^(?:FROM|From:) (\S+)$", recipe, re.MULTILINE)
    assert base.startswith(f"python:{sys.version_info.major}.{sys.version_info.minor}-")
    assert "latest" not in recipe


@RECIPES
def test_recipes_name_only_public_registries_and_no_secret(recipe: str) -> None:
    hosts = set(re.findall(r"https?://([^/\s\"]+)", recipe))
    assert hosts == {"pypi.org", "download.pytorch.org"}
    assert not re.search(r"(?i)token(?!izers)|passw|secret|api_?key|trusted-host|http://", recipe)


@RECIPES
def test_libraries_are_offline_at_run_time(recipe: str) -> None:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"):
        assert re.search(rf"\b{name}=1\b", recipe), name


def test_the_docker_image_does_not_run_as_root() -> None:
    words = [word for word, _ in instructions()]
    users = [rest for word, rest in instructions() if word == "USER"]
    assert users == ["ecg"]
    assert "useradd" in DOCKERFILE
    assert words.index("USER") < words.index("ENTRYPOINT")
    assert not {"ADD", "EXPOSE", "VOLUME", "MAINTAINER"} & set(words)
    assert not re.search(r"\b(sudo|curl|wget|chmod 777|apt-get)\b", DOCKERFILE)


def test_every_section_is_known_to_apptainer() -> None:
    assert set(sections()) == {"arguments", "files", "post", "environment", "test", "runscript"}
    [name] = re.findall(r"\{\{ (\w+) \}\}", sections()["post"])
    assert f"{name}=" in sections()["arguments"]
    assert sections()["post"].split()[:2] == ["set", "-eu"]


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing_in_the_recipes(tmp_path: Path) -> None:
    scripts = [ROOT / "containers/self_test.sh"]
    for name in ("post", "test", "runscript", "environment"):
        path = tmp_path / name
        body = re.sub(r"\{\{ \w+ \}\}", "argument", sections()[name])
        path.write_text(f"#!/bin/sh\n{body}")
        scripts.append(path)
    for number, (_, rest) in enumerate(i for i in instructions() if i[0] == "RUN"):
        path = tmp_path / f"run{number}"
        path.write_text(f"#!/bin/sh\nTORCH_INDEX=x\n{rest}\n")
        scripts.append(path)
    done = subprocess.run(["shellcheck", *map(str, scripts)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_self_test_passes_here(tmp_path: Path) -> None:
    for name, arguments in (("python", ""), ("ecgpipe", "-m ecgpipe ")):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n')
        program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "ECGPIPE_ROOT": str(ROOT),
        "TMPDIR": str(tmp_path),
    }
    command = ["sh", str(ROOT / "containers/self_test.sh")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("self-test: passed\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ecgpipe", "python"]
