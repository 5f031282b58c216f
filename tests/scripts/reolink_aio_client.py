"""reolink-aio, a client that other people wrote, against our camera: log in, read, control, snapshot, events.

Usage: reolink_aio_client.py tcp|udp HOST UID USER PASSWORD SNAPSHOT. Prints one JSON object with what it saw.
"""

import asyncio
import json
import sys

from reolink_aio.api import Host
from reolink_aio.enums import ConnectionEnum

carrier, address, uid, user, password, snapshot = sys.argv[1:]


async def main():
    host = Host(
        address,
        user,
        password,
        bc_port=9000,
        bc_only=True,
        bc_connection=ConnectionEnum[carrier],
        uid=uid,
        timeout=10,
    )
    seen = {}
    try:
        await host.get_host_data()
        seen["model"] = host.model
        seen["uid"] = host.uid
        seen["channels"] = host.channels
        seen["carrier"] = host.baichuan.connection_type.name
        seen["capabilities"] = sorted(
            name
            for name in ["status_led", "floodLight", "siren_play", "pan_tilt", "battery"]
            if host.supported(0, name)
        )
        await host.get_states()
        seen["status_led"] = host.status_led_enabled(0)
        await host.set_status_led(0, False)
        await host.baichuan.get_status_led(channel=0)
        seen["status_led_after"] = host.status_led_enabled(0)
        await host.baichuan.set_ptz_command(0, "Left", speed=32)
        await host.baichuan.set_ptz_command(0, "Stop")
        seen["presets"] = host.ptz_presets(0)
        if host.supported(0, "battery"):
            seen["battery"] = host.battery_percentage(0)
        image = await host.baichuan.snapshot(0, snapType="main")
        with open(snapshot, "wb") as file:
            file.write(image)
        # Of battery cameras it takes events by webhook only, which needs their newest firmware.
        if not host.supported(0, "battery"):
            pushes = asyncio.Event()
            host.baichuan.register_callback("test", pushes.set, 33, 0)
            await host.baichuan.subscribe_events()
            for _ in range(400):
                if host.ai_detected(0, "people") and host.motion_detected(0):
                    seen["person"] = True
                    break
                await asyncio.sleep(0.05)
            await asyncio.wait_for(pushes.wait(), 20)
    finally:
        await host.logout()
    print(json.dumps(seen))


asyncio.run(main())
