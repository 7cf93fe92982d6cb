import "../../build/css/page.css";
import data from "../../build/data.json";
import { chart } from "./chart.js";

const main = document.querySelector("main");
const title = document.createElement("h1");
title.textContent = "The largest modules of Python";
main.append(title, chart(data.rows));
