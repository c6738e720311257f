"""The web page: `actions` computes what the elements show, `page` displays it with Gradio."""
