"""Decodes pictures of a URL or file with OpenCV and prints a hash of each.   opencv_hashes.py URL PICTURES"""
import hashlib
import json
import sys

import cv2

capture = cv2.VideoCapture(sys.argv[1], cv2.CAP_FFMPEG)
if not capture.isOpened():
    sys.exit("OpenCV cannot open it")
hashes = []
for count in range(int(sys.argv[2])):
    ok, picture = capture.read()
    if not ok:
        sys.exit(f"OpenCV lost it after {count} pictures")
    hashes.append(hashlib.md5(picture.tobytes()).hexdigest())
print(json.dumps(hashes))
