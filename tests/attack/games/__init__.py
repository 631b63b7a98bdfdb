"""Owns the list of games, a family each module: who guesses, who steals, who imitates."""

from . import guessing, imitators, thieves
from .game import Field, Gained, Game

ALL: tuple[Game, ...] = (*guessing.GAMES, *thieves.GAMES, *imitators.GAMES)

__all__ = ["ALL", "Field", "Gained", "Game"]
