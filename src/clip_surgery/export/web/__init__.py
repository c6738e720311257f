"""Export a model as a static web site that computes in the visitor's browser."""

from clip_surgery.export.web.site import export_web

__all__ = ["export_web"]
