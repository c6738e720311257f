"""Find the heads that make an image match a text, and what the model is without them."""

import clip_surgery as cs
from clip_surgery.evaluation import SceneDataset

scenes = SceneDataset(seed=11, count=8)
explainer = cs.load("demo")
decomposed = [cs.decompose(explainer, scene.image) for scene in scenes]
scene, parts = scenes[0], decomposed[0]

# The contributions add up to the model's own image feature.
print("largest difference", float((parts.total() - parts.image).abs().max()))

# What each part adds to the cosine with a text.
name = sorted(scene.present)[0]
texts = explainer.encode([name]).labels
scores = parts.scores(texts)
print(f"{name}: cosine {float(scores.total()):.3f}")
for block, heads in enumerate(scores.heads[0].tolist()):
    added = float(scores.feed_forward[0, block])
    print(f"block {block}: heads {[round(head, 3) for head in heads]}, feed-forward {added:.3f}")
cs.heads_figure(explainer, scene.image, parts, name).save("heads.png")

# Mean ablation: replace the contributions of all feed-forward networks by their means over images.
means = cs.mean_contributions(decomposed)
ablated = parts.with_means(means, feed_forward=range(len(parts.feed_forward)))
cosine = float(texts[0] @ ablated / ablated.norm())
print(f"cosine without feed-forward networks {cosine:.3f}")

# A view of the model without its best head: everything works with it, the model is not changed.
block, head = divmod(int(scores.heads[0].argmax()), scores.heads.shape[2])
images = [other.image for other in scenes]
view = cs.ablate_heads(explainer, [(block, head)], images)
print(view.backbone.name, float(view(scene.image, [name]).image_scores))

# What the heads of the last block write, in words, over a data set.
for described in cs.describe_heads(explainer, images, list(scenes.names), blocks=1, count=3):
    print(f"head {described.head}: {', '.join(described.texts)}, {described.explained:.0%}")

# What the class token attends to in every head, and what it receives from there.
cs.attention_figure(scene.image, cs.head_attention(explainer, scene.image)).save("attention.png")
