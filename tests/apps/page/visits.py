"""What a visitor does with the page in a browser."""


def upload(page, path):
    page.set_input_files("#image input[type=file]", path)


def type_texts(page, *texts):
    box = page.locator("#texts input")
    for text in texts:
        box.fill(text)
        box.press("Enter")
    page.keyboard.press("Escape")


def explain(page, path, *texts):
    upload(page, path)
    page.wait_for_selector("#image img")
    type_texts(page, *texts)
    page.click("#explain")
    page.wait_for_selector(f"#maps .cs-card[data-title='{texts[0]}']")


def open_tab(page, name):
    page.get_by_role("tab", name=name, exact=True).click()


def titles(page, selector):
    return [card.get_attribute("data-title") for card in page.locator(f"{selector} .cs-card").all()]
