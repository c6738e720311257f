import torch

from clip_surgery.refinement.boxes_of_maps import box_masks
from clip_surgery.refinement.class_pruning import ambiguous_groups, kept_in_refinement
from clip_surgery.refinement.random_walk import transitions


def test_classes_that_change_in_the_refinement_are_redundant():
    before = torch.tensor([[[1.0, 0, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 0, 1]]])
    after = torch.tensor([[[1.0, 0, 0, 0], [0, 0, 1, 1.0], [0, 0, 1, 1]]])
    overlap = [1 / 2, 0.0, 1 / 3]
    for threshold in (0.0, 0.2, 0.4):
        expected = [value > threshold for value in overlap]
        assert kept_in_refinement(before, after, threshold=threshold)[0].tolist() == expected
    alone = kept_in_refinement(before, after, threshold=0.5)[0].tolist()
    assert alone == [True, False, False]  # the largest overlap is kept if none exceeds


def test_groups_of_nearly_equal_maps_are_connected_by_others():
    maps = torch.tensor(
        [[1.0, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 1], [0, 0, 1, 1, 1], [0, 0, 0, 0, 0]]
    )
    # 0 and 1 share 2 of 4 patches, 1 and 3 share 2 of 4, 0 and 3 share 1 of 5
    assert ambiguous_groups(maps, threshold=0.5) == [[0, 1, 3]]
    assert ambiguous_groups(maps, threshold=0.6) == []


def test_boxes_around_connected_parts():
    parts = torch.zeros(2, 4, 5, dtype=torch.bool)
    parts[0, 0, 0] = parts[0, 1, 1] = parts[0, 3, 4] = True  # the first two touch by a corner
    parts[1, 0, 4] = True
    expected = torch.zeros(2, 4, 5, dtype=torch.bool)
    expected[0, :2, :2] = expected[0, 3, 4] = expected[1, 0, 4] = True
    assert torch.equal(box_masks(parts), expected)
    assert not box_masks(torch.zeros(1, 2, 2, dtype=torch.bool)).any()


def test_transitions_are_symmetric_and_nearly_stochastic():
    attention = torch.rand(2, 6, 6, generator=torch.Generator().manual_seed(0))
    walk = transitions(attention, sinkhorn_steps=50, squarings=2)
    torch.testing.assert_close(walk, walk.mT)
    torch.testing.assert_close(walk.sum(dim=-1), torch.ones(2, 6), rtol=1e-4, atol=1e-4)
    assert transitions(torch.zeros(1, 3, 3)).isfinite().all()
