"""pyneolink, a client that other people wrote, against our camera: log in, read, snapshot, record.

Usage: pyneolink_client.py tcp ADDRESS:PORT | local - | relay SERVER, then UID USER PASSWORD STREAM SECONDS FOLDER.
Leaves still.jpg and video.ts (its own MPEG-TS) in FOLDER; prints one JSON object with what it saw.
"""

import json
import sys
from pathlib import Path

import pyneolink.core.discovery as discovery
import pyneolink.core.udp_transport as udp_transport
from pyneolink import Camera

carrier, address, uid, user, password, stream, seconds, folder = sys.argv[1:]
folder = Path(folder)

if carrier == "relay":
    # Its list of servers names the vendor's: ours stands in for all of them.
    for module in (discovery, udp_transport):
        module.P2P_RELAY_HOSTNAMES = [address]
    # It always tries the LAN first, and this camera hears it.
    def deaf(*_args, **_kwargs):
        raise TimeoutError("no LAN")

    sys.modules["pyneolink.camera"].connect_local_direct = deaf

camera = Camera(
    uid=None if carrier == "tcp" else uid,
    address=address if carrier == "tcp" else None,
    username=user,
    password=password,
    discovery={"tcp": "local", "local": "local", "relay": "relay"}[carrier],
    timeout=10.0,
    state_path=None,
)
seen = {}
with camera:
    seen["connected"] = list(camera.connected_address)
    seen["udp"] = type(camera.sock).__name__ == "UdpBcConnection"
    seen["still"] = len(camera.snapshot(out=folder / "still.jpg").read_bytes())
    try:
        seen["battery"] = camera.battery_info(mode="online")
    except Exception as error:  # a camera on mains refuses
        seen["battery"] = str(error)
    camera.record(out=folder / "video.ts", duration=float(seconds), stream=stream)
print(json.dumps(seen, default=str))
