"""Realistic sample telemetry, made by rules and a seed; `examples/generate.py` is its command line.

content     what people learn, type and say        people      who they are, and on which devices
recorder    what a telemetry SDK does              faults      how real producers go wrong
mobile, player, portal, services                   what happens
stream      when it arrives, once or twice         manifest    what it was, counted
"""
