"""Offers: the models a visitor may choose from, each with the methods that work with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from clip_surgery.errors import InputError, UnknownNameError, UnsupportedModelError
from clip_surgery.explainer import Explainer
from clip_surgery.methods.registry import METHODS
from clip_surgery.methods.requirements import require


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelChoice:
    """One model.

    Attributes:
        explainer: the model, with reference words for presence.
        methods: names of the methods that work with it.
        left_out: why each of the others does not.
    """

    explainer: Explainer
    methods: tuple[str, ...]
    left_out: Mapping[str, str]

    @classmethod
    def of(cls, explainer: Explainer) -> ModelChoice:
        """What this model can do, asked of the model itself.

        Raises:
            InputError: when the explainer was loaded without a vocabulary.
        """
        if explainer.vocabulary is None:
            raise InputError("Expected an explainer loaded with vocabulary='common'.")
        left_out = {}
        for name, method in METHODS.items():
            try:
                require(explainer.backbone, getattr(method, "needs", ()), purpose=name)
            except UnsupportedModelError as error:
                left_out[name] = str(error).split(". ", maxsplit=1)[0]
        methods = tuple(name for name in METHODS if name not in left_out)
        return cls(explainer=explainer, methods=methods, left_out=left_out)

    @property
    def name(self) -> str:
        """What the model was loaded as."""
        return self.explainer.backbone.name

    @property
    def words(self) -> tuple[str, ...]:
        """Words to suggest: those that the model knows, or common nouns."""
        return self.explainer.vocabulary or ()

    def with_method(self, method: str) -> Explainer:
        """The model with a method of its own list.

        Raises:
            InputError: for a method that does not work with this model.
            UnknownNameError: for a name that is no method.
        """
        if method in self.left_out:
            raise InputError(f"{method} does not work with {self.name}: {self.left_out[method]}.")
        if method not in self.methods:
            raise UnknownNameError.among("method", str(method), self.methods)
        return self.explainer.with_method(method)


@dataclass(frozen=True, eq=False)
class ModelChoices:
    """The models of a page by name, the first one chosen at the start.

    Raises:
        InputError: when there is none, or a name twice.
    """

    by_name: Mapping[str, ModelChoice]

    @classmethod
    def of(cls, explainers: Iterable[Explainer]) -> ModelChoices:
        """Offer these models."""
        offers = [ModelChoice.of(explainer) for explainer in explainers]
        by_name = {offer.name: offer for offer in offers}
        if not offers or len(by_name) < len(offers):
            names = [offer.name for offer in offers]
            raise InputError(f"Expected models of different names, but got {names}.")
        return cls(by_name)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(self.by_name)

    @property
    def first(self) -> ModelChoice:
        """The model chosen at the start."""
        return self.by_name[self.names[0]]

    def __getitem__(self, name: str) -> ModelChoice:
        """The model of this name.

        Raises:
            UnknownNameError: for a model that is not offered.
        """
        if not isinstance(name, str) or name not in self.by_name:
            raise UnknownNameError.among("model", str(name), self.names)
        return self.by_name[name]
