"""Find out why an image matches a text, why not another text, and what two images share."""

import clip_surgery as cs
from clip_surgery.evaluation import SceneDataset

scenes = SceneDataset(seed=11, count=12)
explainer = cs.load("demo")
image = scenes[0].image  # an owl and a turtle

# What each patch adds to the similarity. Patches and rest sum up to it.
match = cs.explain_match(explainer, "a photo of an owl", image, rival="a photo of a turtle")
patches = float(match.patch_scores().sum())
print(f"similarity {match.similarity:.3f} = {patches:.3f} by patches {match.rest:+.3f} by the rest")
print({word: round(score, 3) for word, score in match.word_scores().items()})

# Why this and not that: positive patches speak for the owl, negative ones for the turtle.
print(f"margin {match.margin():.3f}", match.margin_scores().shape)
cs.match_figure(image, match).save("match.png")

# Two images: the pairs of patches that make them similar.
other = scenes[11].image  # a turtle, and three other objects
pairs = cs.explain_match(explainer, other, image)
for pair in pairs.best_pairs(3):
    print(f"{pair.query_patch} and {pair.patch} add {pair.score:.4f}")
cs.match_figure(image, pairs, query_image=other).save("pairs.png")

# Search: rank images by similarity, then explain the best hit.
images = [cs.read_image(scene.image) for scene in scenes]
features = cs.image_features(explainer, images)
query = explainer.with_method("similarity").encode(["koala"]).labels[0]
best = cs.rank_images(query, features, top=1)[0]
print(best, sorted(scenes[best.position].present))
