"""The client's other half, for operators: which model serves, which experiments run, and who did what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

Ask = Callable[..., Any]


class Admin:
    """Of a `Client`, as `client.admin`; needs a key good for admin. Answers are the API's, as dictionaries."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def models(self) -> dict[str, Any]:
        """What could serve, and who does."""
        return self._dict("GET", "models")

    def promote(self, model: str) -> dict[str, Any]:
        """Let a model serve."""
        return self._dict("POST", "promote", {"model": model})

    def rollback(self) -> dict[str, Any]:
        """Let the model before serve again."""
        return self._dict("POST", "rollback")

    def audit(self, n: int = 100) -> list[dict[str, Any]]:
        """Who did what, newest first."""
        found: list[dict[str, Any]] = self._ask("GET", "/v1/admin/audit", params={"n": str(n)})["lines"]
        return found

    def experiments(self) -> list[dict[str, Any]]:
        """Every experiment, the last changed first."""
        found: list[dict[str, Any]] = self._dict("GET", "experiments")["experiments"]
        return found

    def served(self) -> list[str]:
        """The experiments that the worker who answers assigns to now."""
        found: list[str] = self._dict("GET", "experiments")["served"]
        return found

    def experiment(self, name: str) -> dict[str, Any]:
        """A definition and where it stands."""
        return self._dict("GET", _path(name))

    def define(self, experiment: Mapping[str, Any]) -> dict[str, Any]:
        """Write an experiment down, as a YAML file has it but without `logs`; nobody is assigned yet."""
        return self._dict("POST", "experiments", dict(experiment))

    def plan(self, name: str) -> dict[str, Any]:
        """How many units and days it takes."""
        return self._dict("GET", f"{_path(name)}/plan")

    def start(self, name: str) -> dict[str, Any]:
        """From now on users are assigned."""
        return self._dict("POST", f"{_path(name)}/start")

    def report(self, name: str) -> dict[str, Any]:
        """Ship, hold or stop, with every figure; refused (409) while nothing can be said."""
        return self._dict("GET", f"{_path(name)}/report")

    def stop(self, name: str, reason: str) -> dict[str, Any]:
        """Nobody is assigned any more."""
        return self._dict("POST", f"{_path(name)}/stop", {"reason": reason})

    def _dict(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        found: dict[str, Any] = self._ask(method, f"/v1/admin/{path}", body)
        return found


def _path(name: str) -> str:
    return f"experiments/{quote(name, safe='')}"
