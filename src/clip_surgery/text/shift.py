"""Settings by which texts move towards the patches of each image that they fit best.

Source: the object-presence prior of CASS (arXiv 2411.17150) and its released code, whose settings
are those of each data set: shares of 0.01 to 0.05, cuts of 0.02 to 0.14 and image shares of 0.1 to
0.4. The released code of RF-CLIP (arXiv 2511.16170) has the same settings and complete linkage. The
formulas are in `surgery.text_shift`.
"""

from __future__ import annotations

from dataclasses import replace

from clip_surgery.text.features import Linkage, TextFeatures, TextShift


def with_text_shift(
    texts: TextFeatures,
    *,
    share: float = 0.05,
    cut: float = 0.06,
    image_share: float = 0.0,
    linkage: Linkage = "ward",
) -> TextFeatures:
    """Return the features of texts that move in each image, for segmentation with any dense method.

    Texts are clustered by their cosine distances. In each cluster the text with the highest
    similarity to the image moves towards its two best patches. Heatmaps, points and presence use
    the features of the texts as before. With windows, texts move in each window; if the outputs of
    windows are stitched, in the image.

    Args:
        texts: features of C texts.
        share: share of the mean patch in a moved text, in [0, 1]; 0 moves nothing.
        cut: highest distance within a cluster, 0 or more.
        image_share: share of the cosine of image and text in the similarity, in [0, 1].
        linkage: "ward", or "complete": the largest distance within a cluster is `cut`.

    Raises:
        InputError: if a setting is outside of its range, or the texts have experts.
        UnknownNameError: if linkage is unknown.

    Example:
        >>> import torch
        >>> texts = TextFeatures(texts=("cat", "dog"), labels=torch.eye(2), empty=torch.ones(2))
        >>> with_text_shift(texts, share=0.03).shift
        TextShift(share=0.03, cut=0.06, image_share=0.0, linkage='ward')
    """
    return replace(
        texts, shift=TextShift(share=share, cut=cut, image_share=image_share, linkage=linkage)
    )
