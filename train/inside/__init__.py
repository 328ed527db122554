"""Looks inside a trained model: learnt filters, activation maps of a layer, and where an answer comes from."""

from .activations import strongest
from .filters import filter_grid
from .gradcam import Cam, grad_cam
from .layers import Layer, Layers, find_layers, last_map
from .look import LookSpec, look

__all__ = [
    "Cam",
    "Layer",
    "Layers",
    "LookSpec",
    "filter_grid",
    "find_layers",
    "grad_cam",
    "last_map",
    "look",
    "strongest",
]
