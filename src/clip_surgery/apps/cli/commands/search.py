"""`clip-surgery search`: the images of a folder that match a text best, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.model_options import ExplainerOptions
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.output_options import OutputOptions, formats_option
from clip_surgery.apps.cli.shared.request import RequestOptions, TextOptions
from clip_surgery.errors import ClipSurgeryError

if TYPE_CHECKING:
    from torch import Tensor

    from clip_surgery.apps.cli.shared.output_formats import ImageResult
    from clip_surgery.explainer import Explainer
    from clip_surgery.inputs.images import InputImage
    from clip_surgery.tasks.match import Match
    from clip_surgery.tasks.search import Hit


@with_options
def search(
    texts: TextOptions,
    outputs: OutputOptions,
    model: ExplainerOptions,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[IMAGE...] [TEXT]",
            help="Images (files, folders, quoted patterns), and the text to search for.",
            show_default=False,
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Number of images to find.")] = 5,
    why: Annotated[
        bool,
        typer.Option("--why", help="Explain each hit: which regions and which words carried it."),
    ] = False,
    like: Annotated[
        Path | None, typer.Option(help="An image to search for instead of a text.")
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(
            metavar="PARQUET",
            help="Rank the images of these rows, a file or folder of `batch --tasks features`, "
            "instead of images that are given.",
        ),
    ] = None,
    formats: Annotated[
        list[str] | None,
        formats_option("json, jsonl; with --why also png, html. Default: json, with --why all"),
    ] = None,
) -> None:
    """Find the images that match a text best, and with --why what carried each match.

    clip-surgery search photos/ "a dog on a beach" --why

    Images are ranked by the cosine of their features with that of the text, without templates. The
    features are kept on disk, so that a folder is encoded once (--no-cache does not keep them).
    For many images, encode them with `batch --tasks features`, and search with --index.
    """
    from clip_surgery.apps.cli.shared.image_loop import ImageLoop
    from clip_surgery.apps.cli.shared.index_hits import existing_hits, stored_features
    from clip_surgery.apps.cli.shared.match_files import MATCH_COLUMNS
    from clip_surgery.apps.cli.shared.output_formats import Format
    from clip_surgery.apps.cli.shared.tables import Number
    from clip_surgery.inputs.images import MAX_PIXELS
    from clip_surgery.inputs.names import printable
    from clip_surgery.tasks.search import image_features, query_feature, rank_images

    inputs = RequestOptions(arguments=arguments or [], **vars(texts))
    request, query = inputs.read_query(like, need_images=index is None)
    plain = [Format.JSON, Format.JSONL]
    drawn = [Format.PNG, Format.HTML, *plain]
    loop = ImageLoop.begin(
        "search",
        request,
        outputs,
        formats,
        known=drawn if why else plain,
        default=drawn if why else [Format.JSON],
    )
    explainer = model.load()
    max_pixels = request.max_pixels or MAX_PIXELS
    modified: tuple[int | None, ...] = ()
    if index is None:
        paths, features = indexed_features(explainer, request.images, max_pixels=max_pixels)
        loop.skipped += len(request.images) - len(paths)
    else:
        paths, features, modified = stored_features(explainer, index)
    if not paths:
        raise typer.Exit(2)
    wanted = (
        query_feature(explainer, query)
        if isinstance(query, str)
        else image_features(explainer, [query])[0]
    )
    hits = rank_images(wanted, features, top=top if index is None else len(paths))
    files = [(paths[hit.position], hit) for hit in hits]
    if index is not None:
        files, missing = existing_hits(hits, paths, top=top, modified=modified)
        loop.skipped += missing
    hits_by_name = {printable(path): (rank, hit) for rank, (path, hit) in enumerate(files, start=1)}

    def explain_each(images: Sequence[InputImage]) -> list[Match | None]:
        from clip_surgery.tasks.match import explain_match

        return [explain_match(explainer, query, image) if why else None for image in images]

    loop.run(
        [path for path, _ in files],
        explain_each,
        lambda image, match: hit_result(image, match, explainer, query, *hits_by_name[image.name]),
    )
    first, *numbers, last = MATCH_COLUMNS
    reasons = [first, *map(Number, numbers), last] if why else [Number("similarity")]
    loop.finish([Number("rank"), *reasons])


def hit_result(
    image: InputImage,
    match: Match | None,
    explainer: Explainer,
    query: str | InputImage,
    rank: int,
    hit: Hit,
) -> ImageResult:
    """Return what is written for a hit, with its explanation if there is one."""
    from clip_surgery.apps.cli.shared.match_files import match_result
    from clip_surgery.apps.cli.shared.output_formats import ImageResult

    if match is None:
        record = {
            "image": image.name,
            "size": {"height": image.size.height, "width": image.size.width},
            "backbone": explainer.backbone.name,
            "query": query if isinstance(query, str) else query.name,
            "rank": rank,
            "similarity": round(hit.similarity, 6),
        }
        return ImageResult(record=record, files={}, rows=[(str(rank), f"{hit.similarity:.3f}")])
    result = match_result(
        image,
        match,
        explainer,
        query_image=None if isinstance(query, str) else query,
        rank=rank,
    )
    return replace(result, rows=[(str(rank), *row) for row in result.rows])


def indexed_features(
    explainer: Explainer, images: Sequence[Path], *, max_pixels: int
) -> tuple[list[Path], Tensor]:
    """Return the images that can be read and their features (n, D), from the index where possible.

    Images that cannot be read are reported. What has been encoded is kept, also if the run is
    interrupted.
    """
    import torch

    from clip_surgery.inputs.images import read_image
    from clip_surgery.records.image_index import ImageIndex, file_key, index_path
    from clip_surgery.tasks.search import image_features

    index = ImageIndex.open(index_path(explainer, images))
    keys = {path: file_key(path) for path in images}
    new = [path for path in images if keys[path] not in index.features]
    size = explainer.batch_size
    try:
        with console.progress("encoding", total=len(new)) as advance:
            for start in range(0, len(new), size):
                batch: list[tuple[Path, InputImage]] = []
                for path in new[start : start + size]:
                    try:
                        batch.append((path, read_image(path, max_pixels=max_pixels)))
                    except ClipSurgeryError as error:
                        console.error(" ".join(str(error).split()))
                if batch:
                    features = image_features(explainer, [image for _, image in batch])
                    for (path, _), feature in zip(batch, features, strict=True):
                        index.features[keys[path]] = feature
                advance(len(new[start : start + size]))
    finally:
        if new:
            index.save(list(keys.values()))
    usable = [path for path in images if keys[path] in index.features]
    if not usable:
        return [], torch.zeros(0, 0)
    return usable, torch.stack([index.features[keys[path]] for path in usable])
