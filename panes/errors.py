"""The library's errors in Chinese, by their code; English ones are what the library says itself."""

CHINESE_ERRORS = {
    "empty_file": "{name}：需要照片，但文件是空的。",
    "heic_support": "{name}：读取 HEIC 还需要安装 pillow-heif。",
    "is_a_folder": "{name}：需要照片，但这是文件夹。",
    "missing_pair": "{name}：缺少与之配对的文件。",
    "no_color": "颜色应为“#rrggbb”、“#rgb”或“rgb(r, g, b)”（0 到 255），收到“{got}”。",
    "no_head": "没有找到完整的头部，或头部在下巴以上被裁掉。",
    "no_images": "{name}：没有找到照片。",
    "no_number": "单元格应为 {count} 个数字，收到“{got}”。",
    "no_room": "相纸上放不下 {width_mm:g} × {height_mm:g} 毫米的照片。",
    "no_table": "表格每行的单元格数应相同且不为零，收到 {got}。",
    "nobody": "没有找到人。",
    "not_a_folder": "{name}：路径中有一部分不是文件夹。",
    "not_among": "“{name}”应为 {known} 之一，收到“{got}”。",
    "not_an_image": "{name}：需要照片（JPEG、PNG、WEBP、AVIF、TIFF、BMP、GIF 或 HEIC），但文件不是。",
    "not_found": "{name}：文件不存在。",
    "out_of_range": "“{name}”应为 {low:g} 到 {high:g}，收到 {got}。",
    "refused": "无法处理：{reason}",
    "size_mismatch": "{name}：两张图片的尺寸不一致。",
    "too_large": "{name}：最多 {limit:g} 百万像素，这张是 {width} × {height} = {megapixels:.1f} 百万像素。",
    "truncated": "{name}：照片已损坏或不完整（{reason}）。",
    "unknown_ending": "{name}：不认识的文件后缀。",
    "unreadable": "{name}：无法读取（{reason}）。",
    "unsupported_depth": "{name}：需要每通道 8 或 16 位，但这张是 32 位。",
    "unwritable": "{name}：无法写入（{reason}）。",
}
"""Code: sentence with the error's values."""

CHINESE_NAMES = {
    "cell": "单元格",
    "dpi": "每英寸像素",
    "gap_mm": "间距（毫米）",
    "height_mm": "高（毫米）",
    "kind": "背景",
    "look": "查看方式",
    "margin_mm": "页边（毫米）",
    "name": "场景",
    "numbers": "人物",
    "opacity": "阴影",
    "pixels": "边缘移动",
    "radius": "羽化",
    "scale": "大小",
    "shift": "移动",
    "strength": "匹配背景光线",
    "width_mm": "宽（毫米）",
}
"""What the library calls a value that people choose, and what they read."""
