"""Every word on the page, in English and Chinese, and errors said by their code; no logic depends on them."""

from __future__ import annotations

import json

import gradio as gr
from gradio.i18n import I18nData

from panes.errors import CHINESE_ERRORS, CHINESE_NAMES
from shm.matte import ChoiceError, ImageError

WORDS: dict[str, tuple[str, str]] = {
    # header and tabs
    "title": ("Semantic Human Matting", "人像语义抠图"),
    "promise": (
        "Cuts people out of a photograph, hair included. Your pictures stay on the computer that runs this page and are "
        "deleted from it within an hour of their last use.",
        "把照片中的人抠出来，连发丝也不放过。您的图片只留在运行本页面的计算机上，最后一次使用后一小时内删除。",
    ),
    "cut_out_tab": ("Cut out", "抠图"),
    "batch_tab": ("Batch", "批量"),
    "id_photo_tab": ("ID photo", "证件照"),
    "lesson_tab": ("How it works", "原理"),
    # cut out
    "photograph": ("Photograph", "照片"),
    "address": ("Or the web address of a photograph", "或输入照片的网址"),
    "cut_out": ("Cut out", "开始抠图"),
    "try_one": ("Or try one", "或试试示例"),
    "before_after": ("Before and after", "前后对比"),
    "look": ("Look at it on", "查看方式"),
    "composite": ("Composite", "合成图"),
    "checkerboard": ("Checkerboard", "棋盘格"),
    "black": ("Black", "黑色"),
    "white": ("White", "白色"),
    "green": ("Green", "绿色"),
    "alpha": ("Alpha", "透明度"),
    "segmentation": ("Segmentation", "语义分割"),
    "trimap": ("Trimap", "三分图"),
    "foreground": ("Foreground", "前景"),
    "closeup": ("Close-up", "细节"),
    # background and placement
    "background": ("Background", "背景"),
    "transparent": ("Transparent", "透明"),
    "color": ("Color", "纯色"),
    "gradient": ("Gradient", "渐变"),
    "blur": ("Blurred", "虚化"),
    "gallery": ("Scenes", "场景"),
    "picture": ("Picture", "图片"),
    "bottom_color": ("Color below", "下方颜色"),
    "blur_strength": ("Strength of the blur", "虚化强度"),
    "scene": ("Scene", "场景"),
    "studio": ("Studio", "影棚"),
    "slate": ("Slate", "石板"),
    "sand": ("Sand", "沙色"),
    "sky": ("Sky", "天空"),
    "sunset": ("Sunset", "日落"),
    "sea": ("Sea", "大海"),
    "meadow": ("Meadow", "草地"),
    "forest": ("Forest", "森林"),
    "city": ("City", "城市"),
    "aurora": ("Aurora", "极光"),
    "placement": ("Place and light", "位置与光线"),
    "needs_background": ("These need a background behind the people.", "选择背景后生效。"),
    "scale": ("Size, %", "大小（%）"),
    "right": ("To the right, %", "右移（%）"),
    "down": ("Down, %", "下移（%）"),
    "color_match": ("Light of the background, %", "匹配背景光线（%）"),
    "shadow": ("Soft shadow, %", "柔和阴影（%）"),
    # edge and people
    "edge": ("Edge", "边缘"),
    "shift": ("Move the edge, pixels", "边缘移动（像素）"),
    "feather": ("Feather, pixels", "羽化（像素）"),
    "clean": ("Remove the old background's color from hair", "去除发丝中的旧背景色"),
    "connected": ("Drop parts that belong to nobody", "去掉不属于人的部分"),
    "reset": ("Reset", "重置"),
    "who": ("Who", "人物"),
    "left_out": ("Leave out", "去掉"),
    "click_people": ("Click a person to leave them out or take them back", "点击人物即可去掉或恢复"),
    "person": ("Person {number}", "人物 {number}"),
    # touch up
    "touch_up": ("Touch up", "修饰"),
    "touch_up_how": (
        "Paint over what is wrong, then apply: green keeps, red removes, yellow asks to look again.",
        "在有误之处涂抹，然后点击应用：绿色保留，红色去除，黄色重新判断。",
    ),
    "strokes": ("Strokes", "笔迹"),
    "apply": ("Apply", "应用"),
    "keep": ("Keep", "保留"),
    "remove": ("Remove", "去除"),
    "unknown": ("Look again", "重新判断"),
    "brush": ("Brush", "画笔"),
    "undo": ("Undo", "撤销"),
    "redo": ("Redo", "重做"),
    "matting_again": ("Matting again where you painted", "正在按笔迹重新抠图"),
    "touched_up": ("Matted again in {seconds:.2f} s; the segmentation did not run.", "用 {seconds:.2f} 秒重新抠图；未重新分割。"),
    # downloads
    "file": ("File", "文件"),
    "cutout_file": ("Cut-out PNG", "抠图 PNG"),
    "webp_file": ("Cut-out WebP", "抠图 WebP"),
    "png_file": ("Composite PNG", "合成 PNG"),
    "jpeg_file": ("Composite JPEG", "合成 JPEG"),
    "alpha_file": ("Alpha", "透明度"),
    "alpha16_file": ("Alpha, 16 bit", "透明度 16 位"),
    "trimap_file": ("Trimap", "三分图"),
    "zip_file": ("All, zip", "全部 zip"),
    "downloads": ("Download", "下载"),
    # what is said while it runs
    "finding": ("Finding people", "正在寻找人物"),
    "separating": ("Separating hair from background", "正在分离头发与背景"),
    "coloring": ("Giving the hair its own color back", "正在还原头发本来的颜色"),
    "done": ("Done in {seconds:.2f} s on {place}.", "完成，用时 {seconds:.2f} 秒（{place}）。"),
    "nobody_found": ("Nobody was found in this photograph: the cut-out is empty.", "这张照片里没有找到人：抠图为空。"),
    "spent": ("<strong>{ms:.0f} ms</strong> on {place}", "<strong>{ms:.0f} 毫秒</strong>（{place}）"),
    "pixels": ("{width} × {height} px", "{width} × {height} 像素"),
    "refined": ("{size}, {share:.0%} refined at full resolution", "{size}，{share:.0%} 在原分辨率下细化"),
    "recomposed": ("no network ran again", "未重新运行网络"),
    "enlarged": ("hair, in the photograph's own pixels", "发丝，原图像素"),
    "class_background": ("background", "背景"),
    "class_person": ("person", "人物"),
    "class_unknown": ("unknown", "不确定"),
    # batch
    "photographs": ("Photographs", "多张照片"),
    "start": ("Start", "开始"),
    "stop": ("Stop", "停止"),
    "results": ("Results", "结果"),
    "all_zip": ("Download all, zip", "全部下载 zip"),
    "batch_progress": ("{done} of {total} done, about {seconds:.0f} s left", "已完成 {done}/{total}，约剩 {seconds:.0f} 秒"),
    "batch_first": ("Cutting out the first of {total}", "正在处理第 1 张，共 {total} 张"),
    "batch_done": ("{done} of {total} cut out in {seconds:.0f} s.", "{total} 张中完成 {done} 张，用时 {seconds:.0f} 秒。"),
    "batch_stopped": ("Stopped: {done} of {total} cut out.", "已停止：{total} 张中完成 {done} 张。"),
    "failed": ("Not done", "未完成"),
    # ID photo
    "make": ("Make the photo", "制作证件照"),
    "format": ("Size", "尺寸"),
    "custom": ("Custom", "自定义"),
    "width_mm": ("Width, mm", "宽（毫米）"),
    "height_mm": ("Height, mm", "高（毫米）"),
    "dpi": ("Pixels per inch", "每英寸像素"),
    "35x45 mm": ("35 × 45 mm", "35 × 45 毫米"),
    "2x2 inch": ("2 × 2 inch", "2 × 2 英寸"),
    "1 inch": ("1 inch (25 × 35 mm)", "一寸（25 × 35 毫米）"),
    "2 inch": ("2 inch (35 × 49 mm)", "二寸（35 × 49 毫米）"),
    "blue": ("Blue", "蓝色"),
    "red": ("Red", "红色"),
    "gray": ("Gray", "灰色"),
    "own_color": ("Own color", "自选颜色"),
    "zoom": ("Zoom, %", "缩放（%）"),
    "paper": ("Paper", "相纸"),
    "6 inch": ("6 inch (102 × 152 mm)", "六寸（102 × 152 毫米）"),
    "A4": ("A4", "A4"),
    "id_photo": ("ID photo", "证件照"),
    "sheet": ("Sheet to print, with lines to cut along", "带裁切线的打印排版"),
    "id_size": ("{width_mm:g} × {height_mm:g} mm, {width} × {height} px", "{width_mm:g} × {height_mm:g} 毫米，{width} × {height} 像素"),
    "id_hint": (
        "The head is placed by the silhouette. Whether an office accepts the photo is for the office to say.",
        "头部位置由轮廓自动确定。能否被受理以相关机构要求为准。",
    ),
    "photo_file": ("Photo", "照片"),
    "sheet_file": ("Sheet", "排版"),
    # how it works
    "lesson_intro": (
        "Three steps lead from a photograph I to people on any background. Everything below is live: type into the tables.",
        "从照片 I 到任意背景上的人像，共三步。下面的内容都是实时计算的：可以直接修改表格。",
    ),
    "lesson_segmentation": (
        "<h3>1. Semantic segmentation</h3>A network says how likely each pixel is background, person or unknown: the "
        "probabilities P. The simplest stand-in for it is a rule: what is brighter than a threshold is a person.",
        "<h3>1. 语义分割</h3>网络给出每个像素属于背景、人物或不确定的概率 P。最简单的替代是一条规则：比阈值亮的就是人。",
    ),
    "lesson_alpha": (
        "<h3>2. Alpha matting</h3>A second network finds how opaque each pixel is: A = 1 is opaque, A = 0 lets the background "
        "through, hair is in between. Where P says person, A is 1; where P is unknown, the network's own alpha counts.",
        "<h3>2. 透明度估计</h3>第二个网络求出每个像素的不透明程度：A = 1 完全不透明，A = 0 完全透出背景，发丝介于两者之间。"
        "P 认定是人之处 A 为 1；P 不确定之处采用网络自己给出的透明度。",
    ),
    "lesson_fusion": (
        "<h3>3. Fusion</h3>Each pixel of the result M mixes the person's own color F with the new background B, as much of "
        "each as alpha says. In P the second number is the person.",
        "<h3>3. 融合</h3>结果 M 的每个像素按透明度把人物本身的颜色 F 与新背景 B 混合。P 中第二个数是人物的概率。",
    ),
    "lesson_pixel": (
        "<h3>On a photograph</h3>Open the example and point at a pixel, a strand of hair for instance; or type its column and row.",
        "<h3>在照片上</h3>打开示例，点选一个像素，例如一缕发丝；也可以输入列和行。",
    ),
    "labels_s": ("S", "S"),
    "table_i": ("Brightness, I", "亮度 I"),
    "table_f": ("Foreground, F", "前景 F"),
    "table_p": ("Probabilities, P: background, person, unknown", "概率 P：背景、人物、不确定"),
    "table_a": ("Alpha, A", "透明度 A"),
    "table_b": ("Background, B", "背景 B"),
    "threshold": ("Threshold", "阈值"),
    "open_example": ("Open the example", "打开示例"),
    "no_pixel": (
        "Expected a column from 1 to {width} and a row from 1 to {height}.",
        "列应为 1 到 {width}，行应为 1 到 {height}。",
    ),
    "open_first": ("Open the example first.", "请先打开示例。"),
    "point_here": ("Point at a pixel", "点选一个像素"),
    "column": ("Column", "列"),
    "row": ("Row", "行"),
    # errors of the app itself
    "no_photo": (
        "Choose a photograph first: drop one, paste one, take one, or try an example.",
        "请先选择照片：拖入、粘贴、拍摄，或试试示例。",
    ),
    "no_photos": ("Choose photographs first.", "请先选择照片。"),
    "no_cut_out": ("Cut out a photograph first.", "请先抠图。"),
    "no_strokes": ("Paint on the photograph first.", "请先在照片上涂抹。"),
    "no_background": ("Choose a background first: nothing is behind the people.", "请先选择背景：人物背后没有内容。"),
    "no_file": ('Expected a file of {files}, got "{file}".', "文件应为 {files} 之一，收到“{file}”。"),
    "no_format": ('Expected a size of {formats}, got "{got}".', "尺寸应为 {formats} 之一，收到“{got}”。"),
    "no_part": ('Expected one of {parts}, got "{got}".', "应为 {parts} 之一，收到“{got}”。"),
    "too_fine": (
        "Expected a sheet of at most {limit:g} megapixels, got {width} × {height}: choose fewer pixels per inch.",
        "排版最多 {limit:g} 百万像素，收到 {width} × {height}：请降低每英寸像素。",
    ),
    "not_uploaded": ("That picture was not uploaded to this app.", "该图片不是上传到本应用的。"),
    "too_many": ("Expected at most {limit} photographs, got {count}.", "最多 {limit} 张照片，收到 {count} 张。"),
    "too_heavy": ("Expected a file of at most {limit} megabytes.", "文件最大 {limit} MB。"),
    "bad_address": ("No photograph could be fetched from {address}.", "无法从 {address} 获取照片。"),
}
"""Key: English, Chinese."""

CONTROLS: dict[str, tuple[str, str]] = {
    "Error": ("That did not work", "未能完成"),
    "Connection Lost": ("Connection lost", "连接已断开"),
    "Upload file": ("Upload a file", "上传文件"),
    "Capture from camera": ("Take a photograph", "拍照"),
    "Paste from clipboard": ("Paste from the clipboard", "从剪贴板粘贴"),
    "Click to Access Webcam": ("Click to turn the camera on", "点击打开摄像头"),
    "grant webcam access": ("Turn the camera on", "打开摄像头"),
    "capture photo": ("Take it", "拍摄"),
    "select input source": ("Choose a camera", "选择摄像头"),
    "Pan": ("Move the picture", "移动画面"),
    "Zoom in": ("Zoom in", "放大"),
    "Zoom out": ("Zoom out", "缩小"),
    "Undo": ("Undo the last stroke", "撤销上一笔"),
    "Redo": ("Redo the last stroke", "重做上一笔"),
    "Clear canvas": ("Remove all strokes", "清除全部笔迹"),
    "Brush": ("Brush", "画笔"),
    "Erase": ("Eraser", "橡皮擦"),
    "Color": ("Color of the brush", "画笔颜色"),
    "Brush Size": ("Size of the brush", "画笔大小"),
    "Fullscreen": ("Full screen", "全屏"),
    "Reset": ("Reset", "重置"),
}
"""What Gradio calls its own controls, in English only: English, Chinese."""

MESSAGES: dict[str, tuple[str, str]] = {
    r"^Invalid file types?: (.+)\. Only .+ allowed\.$": ("$1: expected a photograph.", "$1：需要照片。"),
    r"^File\(s\) exceed the maximum allowed size of ([\d.]+) Mb: (.+)$": (
        "Expected files of at most $1 megabytes: $2.", "文件最大 $1 MB：$2。",
    ),
    r"^This application is currently busy\..*": ("Too many people are waiting: try again in a minute.", "排队的人太多，请稍后再试。"),
    r"^Connection errored out\..*": ("The app cannot be reached.", "无法连接到应用。"),
    r"^Connection to the server was lost\..*": ("The app cannot be reached; trying again.", "无法连接到应用，正在重试。"),
}  # fmt: skip
"""What Gradio's page says in English only, as JavaScript's regular expressions: English, Chinese."""

CHINESE = ("zh-cn", "zh-tw")
"""Locales for which Gradio's page takes Chinese words; in all others it takes the English ones."""

# Gradio has keys of its own, such as "radio": these stay apart from them.
I18N = gr.I18n(
    en={f"shm_{key}": english for key, (english, _) in WORDS.items()},
    **{f"{tag[:2]}-{tag[3:].upper()}": {f"shm_{key}": chinese for key, (_, chinese) in WORDS.items()} for tag in CHINESE},
)


def label(key: str) -> I18nData:
    """Return a word for a label; the browser says it in the reader's language."""
    if key not in WORDS:
        raise KeyError(f"key: expected one of WORDS, got {key!r}")
    return I18N(f"shm_{key}")


def choices(*keys: str) -> list[tuple[I18nData, str]]:
    """Return the options of a choice: the word that is read, and the key that is its value."""
    return [(label(key), key) for key in keys]


def read_language(request: gr.Request | None) -> str:
    """Return "zh" or "en", by the same rule by which the browser chooses the labels: its first language decides."""
    header = request.headers.get("accept-language", "") if request else ""
    return "zh" if header.split(",")[0].split(";")[0].strip().lower() in CHINESE else "en"


def say(key: str, language: str, **values: object) -> str:
    """Return a sentence with its values filled in."""
    return WORDS[key][language == "zh"].format(**values)


def name_controls() -> str:
    """Return a script that gives Gradio's own controls their name in the reader's language, and shows it on hovering.

    The heading of an error is one of them: Gradio's page (6.31) does not read the title that an error has. Its messages are said anew.
    """
    return """() => {
      const words = %s, messages = %s, chinese = %s.includes(navigator.language.toLowerCase()) ? 1 : 0
      const find = (text) => Object.hasOwn(words, text?.trim()) && words[text.trim()][chinese]
      const name = () => {
        for (const control of document.querySelectorAll('button[aria-label], [title]')) {
          const word = find(control.ariaLabel) || find(control.title)
          if (word) [control.ariaLabel, control.title] = [word, word]
        }
        for (const prompt of document.querySelectorAll('[title="' + words['grant webcam access'][chinese] + '"] *')) {
          const last = prompt.lastChild, word = last?.nodeType === 3 && find(last.data)
          if (word) last.data = ' ' + word
        }
        for (const {firstChild: title} of document.querySelectorAll('.toast-title')) {
          const word = find(title?.data)
          if (word) title.data = word
        }
        for (const {firstChild: text} of document.querySelectorAll('[data-testid="toast-text"]')) {
          for (const [english, both] of Object.entries(messages)) {
            if (text?.nodeType === 3 && text.data.match(english)) text.data = text.data.replace(new RegExp(english), both[chinese])
          }
        }
      }
      new MutationObserver(name).observe(document.body, {childList: true, subtree: true})
      name()
    }""" % (json.dumps(CONTROLS), json.dumps(MESSAGES), json.dumps(CHINESE))


def say_error(error: Exception, language: str) -> str:
    """Return an error of the library in the reader's language: by its code, with its values."""
    if language != "zh":
        return str(error)
    coded = isinstance(error, ImageError | ChoiceError) and error.code in CHINESE_ERRORS
    code, values = (error.code, error.values) if coded else ("refused", {"reason": error})
    if isinstance(error, ChoiceError) and "name" in values:
        values = values | {"name": CHINESE_NAMES.get(values["name"], values["name"])}
    return CHINESE_ERRORS[code].format(**values)


def say_labels(value: object) -> object:
    """Return a nested value with each label in it said in English."""
    if isinstance(value, I18nData):
        return WORDS[value.key.removeprefix("shm_")][0]
    if isinstance(value, dict):
        return {key: say_labels(part) for key, part in value.items()}
    return [say_labels(part) for part in value] if isinstance(value, list) else value
