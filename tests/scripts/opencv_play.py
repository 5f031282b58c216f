"""Plays pictures of a URL with OpenCV and says what it saw.   opencv_play.py URL PICTURES"""
import json
import sys

import cv2

capture = cv2.VideoCapture(sys.argv[1], cv2.CAP_FFMPEG)
if not capture.isOpened():
    sys.exit("OpenCV cannot open it")
previous, moving = None, 0
for count in range(int(sys.argv[2])):
    ok, picture = capture.read()
    if not ok:
        sys.exit(f"OpenCV lost it after {count} pictures")
    if previous is not None and (picture != previous).any():
        moving += 1
    previous = picture
height, width = previous.shape[:2]
print(json.dumps({"width": width, "height": height, "moving": moving}))
