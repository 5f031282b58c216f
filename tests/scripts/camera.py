#!/usr/bin/python3
"""A real third-party camera: GStreamer's RTSP server, looping files that were encoded beforehand.

  camera.py --listen ADDRESS:PORT --path /cam --video FILE --codec h264|h265|mjpeg --fps N
            [--audio FILE --audio-codec aac|alaw|mulaw] [--login digest|basic --user U --password P]

Access units are pushed with a running timestamp, so the loop has no jump. Says on stdout, one JSON object
a line: {"listening": PORT}, then {"connected": NOW, "total": EVER} at each change of its viewers.
"""
import argparse
import json
import re
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

SECOND = 1_000_000_000
VIDEO = {
    "h264": ("video/x-h264,stream-format=byte-stream,alignment=au", "h264parse ! rtph264pay config-interval=-1"),
    "h265": ("video/x-h265,stream-format=byte-stream,alignment=au", "h265parse ! rtph265pay config-interval=-1"),
    "mjpeg": ("image/jpeg", "jpegparse ! rtpjpegpay"),
}
AUDIO = {
    "aac": ("audio/mpeg,mpegversion=4,stream-format=adts", "aacparse ! rtpmp4gpay"),
    "alaw": ("audio/x-alaw,rate=8000,channels=1", "rtppcmapay"),
    "mulaw": ("audio/x-mulaw,rate=8000,channels=1", "rtppcmupay"),
}
AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


def split_annexb(data, codec):
    """Cuts an Annex B file into access units."""
    starts = [m.start() for m in re.finditer(b"\0\0\1", data)]
    starts = [s - 1 if s and data[s - 1] == 0 else s for s in starts] + [len(data)]
    units, current, has_slice = [], [], False
    for a, b in zip(starts, starts[1:]):
        header = a + (3 if data[a + 2] == 1 else 4)
        if codec == "h264":
            kind = data[header] & 31
            is_slice = kind in (1, 5)
            begins = kind in (6, 7, 8, 9) or (is_slice and data[header + 1] & 0x80)
        else:
            kind = data[header] >> 1 & 63
            is_slice = kind < 32
            begins = kind in (32, 33, 34, 35, 39) or (is_slice and data[header + 2] & 0x80)
        if has_slice and begins:
            units.append(b"".join(current))
            current, has_slice = [], False
        current.append(data[a:b])
        has_slice |= is_slice
    units.append(b"".join(current))
    return units


def split_mjpeg(data):
    starts = [m.start() for m in re.finditer(b"\xff\xd8\xff", data)] + [len(data)]
    return [data[a:b] for a, b in zip(starts, starts[1:])]


def split_adts(data):
    units, at, rate = [], 0, 44100
    while at + 7 <= len(data):
        rate = AAC_RATES[data[at + 2] >> 2 & 15]
        size = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
        units.append(data[at:at + size])
        at += size
    return units, 1024 * SECOND / rate


class Source:
    """One looping elementary stream behind an appsrc."""

    def __init__(self, name, units, step):
        self.name, self.units, self.step = name, units, step

    def start(self, media):
        return Feed(self, media.get_element().get_by_name(self.name))


class Feed:
    def __init__(self, source, element):
        self.source, self.element, self.count = source, element, 0

    def push_until(self, now):
        while self.count * self.source.step <= now:
            unit = self.source.units[self.count % len(self.source.units)]
            buffer = Gst.Buffer.new_wrapped(unit)
            buffer.pts = buffer.dts = int(self.count * self.source.step)
            buffer.duration = int(self.source.step)
            if self.element.emit("push-buffer", buffer) != Gst.FlowReturn.OK:
                return False
            self.count += 1
        return True


def configure(media, sources):
    feeds = [source.start(media) for source in sources]
    started, over = GLib.get_monotonic_time(), []

    def tick():
        if over:
            return False
        now = (GLib.get_monotonic_time() - started) * 1000
        return all([feed.push_until(now) for feed in feeds])

    media.connect("unprepared", lambda _media: over.append(True))
    GLib.timeout_add(5, tick)


def say(**fields):
    print(json.dumps(fields), flush=True)


def watch_clients(server, query):
    counts = {"connected": 0, "total": 0}
    lock = threading.Lock()

    def change(connected, total):
        with lock:
            counts["connected"] += connected
            counts["total"] += total
            say(**counts)

    def describe(_client, context):
        # GStreamer finds media by path alone; a camera also wants its query, letter by letter.
        asked = context.uri.query or ""
        return GstRtsp.RTSPStatusCode.OK if asked == query else GstRtsp.RTSPStatusCode.NOT_FOUND

    def connected(_server, client):
        change(1, 1)
        client.connect("pre-describe-request", describe)
        client.connect("closed", lambda _client: change(-1, 0))

    server.connect("client-connected", connected)


def login(server, factory, options):
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    if options.login == "digest":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(options.user, options.password, token)
    else:
        basic = GstRtspServer.RTSPAuth.make_basic(options.user, options.password)
        auth.add_basic(basic, token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    for right in ("media.factory.access", "media.factory.construct"):
        permissions.add_permission_for_role("viewer", right, True)
    factory.set_permissions(permissions)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", required=True)
    parser.add_argument("--path", default="/cam")
    parser.add_argument("--video", required=True)
    parser.add_argument("--codec", choices=VIDEO, default="h264")
    parser.add_argument("--fps", type=float, default=25)
    parser.add_argument("--audio")
    parser.add_argument("--audio-codec", choices=AUDIO, default="aac")
    parser.add_argument("--login", choices=("digest", "basic"))
    parser.add_argument("--user", default="admin")
    parser.add_argument("--password", default="secret")
    options = parser.parse_args()

    Gst.init(None)
    data = open(options.video, "rb").read()
    units = split_mjpeg(data) if options.codec == "mjpeg" else split_annexb(data, options.codec)
    sources = [Source("video", units, SECOND / options.fps)]
    caps, payload = VIDEO[options.codec]
    launch = (f'( appsrc name=video is-live=true format=time caps="{caps},framerate={int(options.fps)}/1" '
              f"! {payload} name=pay0 pt=96 ")
    if options.audio:
        data = open(options.audio, "rb").read()
        if options.audio_codec == "aac":
            units, step = split_adts(data)
        else:
            units, step = [data[at:at + 160] for at in range(0, len(data) - 159, 160)], SECOND / 50
        sources.append(Source("audio", units, step))
        caps, payload = AUDIO[options.audio_codec]
        number = {"aac": 97, "alaw": 8, "mulaw": 0}[options.audio_codec]
        launch += f'appsrc name=audio is-live=true format=time caps="{caps}" ! {payload} name=pay1 pt={number} '

    server = GstRtspServer.RTSPServer()
    address, port = options.listen.rsplit(":", 1)
    server.set_address(address)
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_shared(True)
    factory.set_launch(launch + ")")
    factory.connect("media-configure", lambda _factory, media: configure(media, sources))
    if options.login:
        login(server, factory, options)
    path, _, query = options.path.partition("?")
    server.get_mount_points().add_factory(path, factory)
    watch_clients(server, query)
    if server.attach(None) == 0:
        sys.exit(f"cannot listen at {options.listen}")

    def drop_dead():
        server.get_session_pool().cleanup()
        return True

    GLib.timeout_add_seconds(2, drop_dead)
    say(listening=server.get_bound_port())
    GLib.MainLoop().run()


main()
