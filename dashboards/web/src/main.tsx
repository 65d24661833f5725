import { render } from "preact";
import { App } from "./app";
import { startPulse } from "./data/pulse";
import { takeToken } from "./data/source";
import "./style/base.css";
import "./style/frame.css";
import "./style/parts.css";
import "./style/charts.css";

takeToken();
startPulse();
const host = document.getElementById("app");
if (host) render(<App />, host);
