"""Models that a visitor may choose, each with the methods that work with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from clip_surgery.apps.page.stopping import stoppable
from clip_surgery.errors import InputError, UnknownNameError, UnsupportedModelError
from clip_surgery.explainer import Explainer
from clip_surgery.methods.registry import METHODS
from clip_surgery.methods.requirements import require
from clip_surgery.text.features import TextFeatures

REQUESTS_KEPT = 128
"""Number of requests whose text features are kept in memory."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelChoice:
    """One model with the methods that work with it.

    Attributes:
        explainer: the model, with reference words for presence.
        methods: names of the methods that work with it.
        left_out: for each of the other methods, the reason why it does not.
        encode: returns the features of texts, which suit all methods. Those of the last requests
            are kept, because the weights of a model of the page do not change.
    """

    explainer: Explainer
    methods: tuple[str, ...]
    left_out: Mapping[str, str]
    encode: Callable[[tuple[str, ...]], TextFeatures]

    @classmethod
    def of(cls, explainer: Explainer) -> ModelChoice:
        """Return a choice with all methods for which the model has the parts.

        Raises:
            InputError: if the explainer was loaded without a vocabulary.
        """
        if explainer.vocabulary is None:
            raise InputError("Expected an explainer loaded with vocabulary='small'.")
        left_out = {}
        for name, method in METHODS.items():
            try:
                require(explainer.backbone, getattr(method, "needs", ()), purpose=name)
            except UnsupportedModelError as error:
                left_out[name] = error.problem.rstrip(".")
        methods = tuple(name for name in METHODS if name not in left_out)
        explainer = stoppable(_with_constant_fingerprint(explainer))
        return cls(
            explainer=explainer,
            methods=methods,
            left_out=left_out,
            encode=lru_cache(REQUESTS_KEPT)(explainer.encode),
        )

    @property
    def name(self) -> str:
        """Name under which the model was loaded."""
        return self.explainer.backbone.name

    @property
    def suggested_texts(self) -> tuple[str, ...]:
        """Texts to choose from: the words that the model knows, or common nouns."""
        return self.explainer.vocabulary or ()

    def with_method(self, method: str) -> Explainer:
        """Return the model with one of its methods.

        Raises:
            InputError: for a method that does not work with this model.
            UnknownNameError: for an unknown method.
        """
        if not isinstance(method, str):
            raise UnknownNameError.among("method", type(method).__name__, self.methods)
        if method in self.left_out:
            raise InputError(f"{method} does not work with {self.name}: {self.left_out[method]}.")
        if method not in self.methods:
            raise UnknownNameError.among("method", method[:80], self.methods)
        return self.explainer.with_method(method)


def _with_constant_fingerprint(explainer: Explainer) -> Explainer:
    """Compute the fingerprint once, because the weights of a model of the page do not change."""
    backbone = explainer.backbone
    fingerprint = lru_cache(maxsize=1)(backbone.fingerprint)
    return replace(explainer, backbone=replace(backbone, fingerprint=fingerprint))


@dataclass(frozen=True, eq=False)
class ModelChoices:
    """The models of a page by name; the first one is chosen at the start."""

    by_name: Mapping[str, ModelChoice]

    @classmethod
    def of(cls, explainers: Iterable[Explainer]) -> ModelChoices:
        """Return choices of these models.

        Raises:
            InputError: if there is no model, or two have the same name.
        """
        choices = [ModelChoice.of(explainer) for explainer in explainers]
        by_name = {choice.name: choice for choice in choices}
        if not choices or len(by_name) < len(choices):
            names = [choice.name for choice in choices]
            raise InputError(f"Expected models of different names, but got {names}.")
        return cls(by_name)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(self.by_name)

    @property
    def first(self) -> ModelChoice:
        """The model that is chosen at the start."""
        return self.by_name[self.names[0]]

    def __getitem__(self, name: str) -> ModelChoice:
        """Return the model of this name.

        Raises:
            UnknownNameError: if there is none.
        """
        if not isinstance(name, str):
            raise UnknownNameError.among("model", type(name).__name__, self.names)
        if name not in self.by_name:
            raise UnknownNameError.among("model", name[:80], self.names)
        return self.by_name[name]
