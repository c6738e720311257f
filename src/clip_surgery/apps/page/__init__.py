"""The web page: `actions` is what each button does, `page` shows it with Gradio."""
