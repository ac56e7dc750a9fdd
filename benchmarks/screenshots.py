"""Screenshots of the app for README.md: wide, dark, and on a phone.

python -m benchmarks.screenshots
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import app
import shm

SCREENS = {
    "wide": {"viewport": {"width": 1360, "height": 1180}},
    "dark": {"viewport": {"width": 1360, "height": 1180}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 1560}, "is_mobile": True, "has_touch": True},
}
SCENES = {"wide": "Sunset", "dark": "Aurora", "phone": "Meadow"}


def take_screenshots(address: str, folder: Path) -> None:
    """Open the app, cut out the first example, put a scene behind it, and write one picture per screen.

    Args:
        address: of the running app.
        folder: for app-wide.png, app-dark.png and app-phone.png.
    """
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, options in SCREENS.items():
            page = browser.new_context(locale="en-US", **options).new_page()
            page.goto(address)
            page.locator("#inputs .gallery-item").first.click()
            page.wait_for_selector("#closeup img")
            page.get_by_label("Scenes").check()
            page.locator("#scene").get_by_label(SCENES[name]).check()
            page.wait_for_timeout(4000)
            page.evaluate("scrollTo(0, 0)")
            page.screenshot(path=folder / f"app-{name}.png")
        browser.close()


def main() -> None:
    """Run the app with the embedded weights and take its screenshots."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.screenshots", description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, default=Path("examples"))
    arguments = parser.parse_args()
    demo = app.build(shm.load(device="cpu"))
    _, address, _ = demo.launch(prevent_thread_lock=True, **app.launch_options())
    take_screenshots(address, arguments.out)
    demo.close(verbose=False)


if __name__ == "__main__":
    main()
