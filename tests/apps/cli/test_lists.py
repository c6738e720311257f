from clip_surgery.methods.registry import METHODS


def test_methods_are_listed_with_settings(cli):
    done = cli("methods")
    assert done.code == 0
    for name, method in METHODS.items():
        assert name in done.out
        assert method.paper in done.out
    assert "depth=6" in done.out


def test_models_are_listed(cli):
    done = cli("models")
    assert done.code == 0
    for name in ("demo", "open_clip:ViT-B-16/openai", "hugging_face:NAME"):
        assert name in done.out


def test_models_by_a_word(cli):
    done = cli("models", "vit-l-14/")
    assert done.code == 0
    assert "open_clip:ViT-L-14/openai" in done.out
    assert "ViT-B-16" not in done.out
    done = cli("models", "xyz")
    assert done.code == 2
    assert "No model has 'xyz' in its name" in done.err


def test_the_nouns_of_the_demo_model_are_listed(cli):
    done = cli("models", "demo")
    assert done.code == 0
    for word in ("nouns", "dog", "umbrella", "px in patches of"):
        assert word in done.out


def test_models_does_not_say_that_weights_were_downloaded(cli):
    done = cli("models", "vit-l-14/")
    assert "downloaded on first use" in done.out
    assert "fetched" not in done.out
